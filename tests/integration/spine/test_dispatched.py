"""What an order has standing elsewhere, by our books."""

from fake_providers import Mood
from world import RANKING, World

from app.runs import dispatched
from app.runs.dispatched import Dispatched


def standing(world: World, *orders: str) -> dict[str, Dispatched]:
    with world.db.begin() as connection:
        return dispatched.standing(connection, orders)


def test_it_is_the_dispatch_under_the_key_that_the_partner_has(world: World) -> None:
    orders = world.accept(2)
    world.partners[RANKING[0]].behave(Mood.REFUSE, orders=orders[:1])
    world.settle()

    found = standing(world, *orders)

    assert [found[order].partner for order in orders] == [RANKING[1], RANKING[0]]
    assert sorted(each.key for each in found.values()) == sorted(world.book.standing("dispatches"))
    assert all(each.eta for each in found.values())


def test_the_own_fleet_is_a_partner_like_any_other(world: World) -> None:
    world.add_courier()
    (order,) = world.accept()
    world.settle()

    assert standing(world, order)[order].key == world.one("SELECT key FROM fleet_pool")


def test_an_order_that_failed_has_none(world: World) -> None:
    orders = world.accept(2)
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE, orders=orders[:1])
    world.settle()
    world.sql("UPDATE runs SET undone = done WHERE order_id = :id", id=orders[1])

    assert standing(world, *orders) == {}


def test_a_later_runs_dispatch_counts_and_one_that_it_recalled_does_not(world: World) -> None:
    (order,) = world.accept()
    world.settle()
    later = (
        "INSERT INTO runs (id, order_id, tenant_id, saga, version, state, generation, lane, due_at, not_after) "
        "SELECT id + 1, order_id, tenant_id, saga, version, 'e', 1, lane, due_at, not_after FROM runs"
    )
    world.sql(later)
    world.sql(
        "INSERT INTO follow_ups (run_id, order_id, nth, asked) SELECT id + 1, order_id, 1, '{}' FROM runs "
        "WHERE generation = 0"
    )
    outcome = (
        "INSERT INTO outcomes (run_id, cohort_id, step, verdict, detail) "
        "SELECT id, 1, :step, 'd', :detail FROM runs WHERE generation = 1"
    )

    world.sql(outcome, step=1, detail='{"recalled": "dhow"}')
    recalled = standing(world, order)
    world.sql(outcome, step=2, detail='{"partner": "swift"}')
    rerouted = standing(world, order)

    assert recalled == {}
    assert rerouted[order].key == f"{order}:dispatch-to-partner:swift:1"


def test_placement_payment_and_hold_are_the_fulfilling_runs(world: World) -> None:
    (order,) = world.accept()
    world.settle()

    with world.db.begin() as connection:
        found = dispatched.fulfilments(connection, [order, "nobody"])

    assert [(each.run_id, each.generation) for each in found.values()] == world.rows(
        "SELECT id, generation FROM runs"
    )
