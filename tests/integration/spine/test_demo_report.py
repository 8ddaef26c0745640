"""What a demo says of its orders, whatever happens to them afterwards."""

from world import World

from infra.demo import report
from infra.demo.journal import Promise


def test_a_courier_exchanged_later_does_not_lengthen_the_wait_for_confirmation(world: World) -> None:
    world.add_courier()
    (order,) = world.accept()
    world.settle()
    with world.db.connect() as connection:
        (confirmed,) = report.standing(connection, [order])

    world.sql("UPDATE uoop_orders SET updated_at = clock_timestamp() WHERE id = :order", order=order)

    with world.db.connect() as connection:
        (rewritten,) = report.standing(connection, [order])
    assert rewritten.ended_at == confirmed.ended_at


def test_an_order_that_postgres_does_not_know_is_lost(world: World) -> None:
    with world.db.connect() as connection:
        outcomes = report.outcomes(
            connection, [Promise("order-none", "key", 1.0, 1.0, 2.0)], clock_ahead_s=0.0
        )

    assert (outcomes.accepted, outcomes.lost) == (1, 1)
