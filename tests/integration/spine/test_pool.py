"""The own fleet's pool: planned anew until a courier must leave, each change an event, no recall overwritten."""

from datetime import timedelta

import pytest
from world import World

from app.fleet import pool as book
from app.fleet.pool import Move
from sagas import pool

ROW = "SELECT courier_id, committed_at IS NOT NULL FROM fleet_pool WHERE order_id = :order"
EVENTS = """
    SELECT sequence, data FROM outbox_in WHERE order_id = :order AND type = 'assignment.changed' ORDER BY sequence
"""


@pytest.fixture
def order(world: World) -> str:
    """Confirmed, in the pool, with courier-1 in mind; its meal is ready in a quarter of an hour."""
    world.add_courier()
    (order,) = world.accept()
    world.settle()
    return order


def nearer(world: World) -> None:
    """Courier-1 is far away now, and another one is near."""
    world.sql("UPDATE couriers SET lat = 26.3 WHERE id = 'courier-1'")
    world.sql("INSERT INTO couriers (tenant_id, id, lat, lng) VALUES ('default', 'courier-2', 26.2, 50.6)")


def row(world: World, order: str) -> tuple[str, bool]:
    ((courier, final),) = world.rows(ROW, order=order)
    return courier, final


def hungry(world: World) -> None:
    """The meals are ready: somebody must go."""
    world.sql("UPDATE fleet_pool SET at = at - interval '1 hour'")


def test_what_need_not_go_yet_stays_open(world: World, order: str) -> None:
    changed = pool.replan(world.ports)

    assert changed == 0
    assert row(world, order) == ("courier-1", False)


def test_a_better_courier_takes_over_and_everybody_is_told(world: World, order: str) -> None:
    nearer(world)

    pool.replan(world.ports)

    assert row(world, order) == ("courier-2", False)
    ((sequence, data),) = world.rows(EVENTS, order=order)
    assert sequence == world.one("SELECT version FROM uoop_orders")
    assert {name: data[name] for name in ("courier", "previous", "final", "status")} == {
        "courier": "courier-2",
        "previous": "courier-1",
        "final": False,
        "status": "CONFIRMED",
    }


def test_who_must_leave_is_committed_and_changes_no_more(world: World, order: str) -> None:
    hungry(world)
    pool.replan(world.ports)
    nearer(world)

    pool.replan(world.ports)

    assert row(world, order) == ("courier-1", True)
    assert [data["final"] for _, data in world.rows(EVENTS, order=order)] == [True]


def test_a_committed_courier_is_planned_with_from_his_last_door(world: World, order: str) -> None:
    hungry(world)
    pool.replan(world.ports)
    (second,) = world.accept()
    world.settle()

    with world.db.begin() as connection:
        ((rider,),) = book.riders(connection, ["default"], soon_s=7200).values()

    assert rider.free_at == world.one("SELECT busy_until FROM fleet_pool WHERE order_id = :o", o=order)
    assert row(world, second)[1] is False


@pytest.mark.parametrize(
    "meanwhile",
    [
        "UPDATE uoop_orders SET status = 'CANCELLED'",
        "UPDATE fleet_pool SET state = 'recalled'",
        "UPDATE fleet_pool SET courier_id = 'courier-9'",
        "UPDATE fleet_pool SET committed_at = now()",
    ],
)
def test_what_happened_while_it_was_planned_stands(world: World, order: str, meanwhile: str) -> None:
    key = world.one("SELECT key FROM fleet_pool")
    world.sql(meanwhile)
    move = Move(key=key, order_id=order, previous="courier-1", courier="courier-2", door_s=60.0, final=True)
    before = world.rows("SELECT * FROM fleet_pool")

    with world.db.begin() as connection:
        changed = book.move(connection, [move])

    assert changed == 0
    assert world.rows("SELECT * FROM fleet_pool") == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE uoop_orders SET status = 'PICKED_UP'",
        "UPDATE fleet_pool SET state = 'recalled'",
        "UPDATE fleet_pool SET busy_until = now() - interval '31 minutes'",
    ],
)
def test_what_does_not_wait_is_not_planned(world: World, order: str, statement: str) -> None:
    nearer(world)
    world.sql(statement)

    assert pool.replan(world.ports) == 0


def test_whom_nobody_can_fetch_keeps_the_courier_in_mind(world: World, order: str) -> None:
    world.sql("UPDATE couriers SET on_until = now() + interval '1 minute'")

    pool.replan(world.ports)

    assert row(world, order) == ("courier-1", False)
    assert world.one("SELECT busy_until - now() FROM fleet_pool") > timedelta(minutes=9)


def test_each_tenants_pool_is_its_own(world: World, order: str) -> None:
    world.add_courier(tenant="other")
    world.sql("UPDATE couriers SET id = 'courier-3' WHERE tenant_id = 'other'")
    world.sql("UPDATE couriers SET lat = 26.3 WHERE tenant_id = 'default'")

    pool.replan(world.ports)

    assert row(world, order)[0] == "courier-1"
