"""The own fleet's pool: planned anew until a courier must leave, each change an event, no recall overwritten."""

from datetime import timedelta

import pytest
from world import RANKING, World

from app.doorbell import Bell
from app.fleet import pool as book
from app.fleet.pool import Move
from app.fleet.service import CourierEntry
from app.orders.document import Location
from sagas import pool
from sagas.delivery_desk import DeliveryDesk, NotBeforePickup, NotWithCourier

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


def row(world: World, order: str) -> tuple[str | None, bool]:
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


BY_CAR = Location(lat=26.2, lng=50.6, address="Road 2803", needs=["car"])
CHANNEL = "SELECT channel, partner FROM uoop_orders WHERE id = :order"


def refuse(world: World, order: str, courier: str) -> None:
    DeliveryDesk(world.db, world.doorbell).refuse("default", order, courier, who="ali", why="a flat tyre")


def test_an_order_goes_to_a_courier_who_has_what_it_needs(world: World) -> None:
    world.add_courier()
    driver = CourierEntry(id="driver", at=(26.21, 50.6), has=("car", "cool-box"))
    known = DeliveryDesk(world.db, world.doorbell).register("default", [driver])

    (order,) = world.accept(delivery_location=BY_CAR)
    world.settle()
    pool.replan(world.ports)

    assert driver in known
    assert row(world, order) == ("driver", False)


def test_an_order_that_nobody_of_ours_fits_goes_to_a_partner_who_is_told_why(world: World) -> None:
    world.add_courier()

    (order,) = world.accept(delivery_location=BY_CAR)
    world.settle()

    assert world.rows(CHANNEL, order=order) == [("partner", RANKING[0])]
    assert list(world.partners[RANKING[0]].needs.values()) == [["car"]]


def test_what_a_courier_refuses_another_one_brings(world: World, order: str) -> None:
    world.sql("INSERT INTO couriers (tenant_id, id, lat, lng) VALUES ('default', 'courier-2', 26.21, 50.6)")

    refuse(world, order, "courier-1")
    told = row(world, order)
    pool.replan(world.ports)

    assert told == (None, False)
    assert row(world, order) == ("courier-2", False)
    changes = [(data["previous"], data["courier"]) for _, data in world.rows(EVENTS, order=order)]
    assert changes == [("courier-1", None), (None, "courier-2")]
    assert world.rows("SELECT act, who, why FROM ops_acts") == [("courier-refuses", "ali", "a flat tyre")]


def test_a_final_courier_may_refuse_too(world: World, order: str) -> None:
    hungry(world)
    pool.replan(world.ports)

    refuse(world, order, "courier-1")

    assert row(world, order) == (None, False)


@pytest.mark.parametrize(
    "nobody",
    [
        "UPDATE fleet_pool SET refused_by = '{courier-1}'",
        "UPDATE couriers SET on_until = now() - interval '1 minute'",
        'UPDATE uoop_orders SET delivery_location = delivery_location || \'{"needs": ["car"]}\'',
    ],
)
def test_what_no_courier_on_duty_may_have_gets_a_partner(world: World, order: str, nobody: str) -> None:
    world.sql(nobody)

    changed = pool.replan(world.ports)
    world.settle()

    assert changed == 1
    assert Bell.CLAIM in world.doorbell.rung
    assert world.rows(CHANNEL, order=order) == [("partner", RANKING[0])]
    assert world.pooled() == 0


def test_an_order_waits_for_the_courier_whose_duty_begins_soon(world: World, order: str) -> None:
    world.sql("UPDATE couriers SET on_from = now() + interval '5 min', on_until = now() + interval '5 h'")

    pool.replan(world.ports)

    assert world.one("SELECT count(*) FROM follow_ups") == 0
    assert world.statuses()[order] == "CONFIRMED"


def test_what_fits_a_courier_who_is_busy_waits_for_him(world: World, order: str) -> None:
    hungry(world)
    pool.replan(world.ports)
    (second,) = world.accept()
    world.settle()
    world.sql("UPDATE fleet_pool SET busy_until = now() + interval '2 hours' WHERE committed_at IS NOT NULL")

    pool.replan(world.ports)

    assert world.rows(CHANNEL, order=second) == [("own-fleet", "own-fleet")]
    assert world.one("SELECT count(*) FROM follow_ups") == 0


def test_only_the_orders_own_courier_refuses_it_and_only_before_its_pickup(world: World, order: str) -> None:
    with pytest.raises(NotWithCourier):
        refuse(world, order, "courier-2")
    world.sql("UPDATE uoop_orders SET status = 'PICKED_UP'")

    with pytest.raises(NotBeforePickup):
        refuse(world, order, "courier-1")

    assert row(world, order) == ("courier-1", False)
