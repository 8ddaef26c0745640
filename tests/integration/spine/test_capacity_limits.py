"""Limits that change while orders flow, what the refused are offered, holds that outlast their expiry, and usage."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from fake_providers import Mood
from jsonschema import Draft202012Validator
from world import World

from app.capacity import limits, model, picture, renewal, service, usage
from app.capacity.desk import CapacityDesk
from app.capacity.limits import NotLimited, OddWindows, Wanted
from app.capacity.model import Slot, SlotKind
from app.outbox.registry import EVENTS
from infra.capacity_gauges import Taken
from infra.front_door import Reading

KITCHEN, ZONE, CHANNEL = SlotKind.KITCHEN, SlotKind.ZONE, SlotKind.CHANNEL
USUAL = 1000


def limit(
    world: World,
    kind: SlotKind,
    name: str,
    capacity: int | None,
    *,
    tenant: str = "default",
    **when: datetime,
) -> None:
    wanted = Wanted(kind=kind, name=name, capacity=capacity, **when)
    CapacityDesk(world.db, default=USUAL).put(tenant, wanted, who="fatima", why="because")


def kitchens(world: World, *names: str, zone: str = "north") -> None:
    for name in names:
        world.sql(
            "INSERT INTO restaurants (tenant_id, id, lat, lng, zone) VALUES ('default', :n, 0, 0, :z)",
            n=name,
            z=zone,
        )


def confirmed(world: World) -> int:
    return sum(status == "CONFIRMED" for status in world.statuses().values())


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize(("kind", "name"), [(KITCHEN, "restaurant-1"), (ZONE, "north"), (CHANNEL, "partner")])
def test_a_limit_holds_from_the_next_order_on_until_it_is_taken_away(
    world: World, kind: SlotKind, name: str
) -> None:
    kitchens(world, "restaurant-1")
    counts = []
    for capacity in (3, 5, None):
        limit(world, kind, name, capacity)
        world.accept(4, channel_preference="partner")
        world.settle()
        counts.append(confirmed(world))

    assert counts == [3, 5, 9]
    assert world.held_places() == 9


def test_a_limit_that_is_lowered_takes_no_place_from_anybody(world: World) -> None:
    world.accept(4)
    world.settle()

    limit(world, KITCHEN, "restaurant-1", 2)
    world.accept()
    world.settle()

    assert confirmed(world) == world.held_places() == 4


def test_a_zone_counts_the_orders_of_all_its_kitchens(world: World) -> None:
    kitchens(world, "restaurant-1", "restaurant-2")
    kitchens(world, "restaurant-3", zone="south")
    limit(world, ZONE, "north", 3)
    for n in (1, 2, 3):
        world.accept(2, restaurant_id=f"restaurant-{n}")

    world.settle()

    assert confirmed(world) == 3 + 2
    assert sorted(code["code"] for code in world.failures().values()) == ["capacity-full"]


def test_who_finds_one_of_his_slots_full_takes_no_place_in_the_others(world: World) -> None:
    kitchens(world, "restaurant-1")
    limit(world, ZONE, "north", 0)
    world.accept(3)

    world.settle()

    assert world.ledger.counts(epoch=world.one("SELECT epoch FROM capacity_ledger"), now=now()) == {}


def test_undone_orders_give_back_all_of_their_places(world: World) -> None:
    kitchens(world, "restaurant-1")
    limit(world, ZONE, "north", 2)
    world.kitchens.behave(Mood.REFUSE)
    world.accept(2)
    world.settle()
    world.kitchens.recover()

    world.accept(2)
    world.settle()

    assert confirmed(world) == world.held_places() == 2


def test_a_rebuilt_ledger_knows_the_places_in_zones(world: World) -> None:
    kitchens(world, "restaurant-1")
    limit(world, ZONE, "north", 2)
    world.accept(2)
    world.settle()
    world.redis.flushdb()

    service.rebuild(world.db, world.ledger)
    world.accept(2)
    world.settle()

    assert confirmed(world) == world.held_places() == 2


def test_a_limit_for_a_time_holds_for_its_windows_only(world: World) -> None:
    window = model.window_start(now()) + timedelta(hours=2)
    limit(world, KITCHEN, "restaurant-1", 0, since=window, until=window + timedelta(minutes=15))

    with world.db.begin() as connection:
        slots = [Slot(KITCHEN, "default", "restaurant-1", int(window.timestamp()) + s) for s in (0, 900)]
        found = limits.of_slots(connection, slots, default=USUAL)

    assert list(found.values()) == [0, USUAL]


@pytest.mark.parametrize(
    ("since_h", "until_h"), [(-3, -2), (2, 1), (1, 24 * 15)], ids=["past", "empty", "too long"]
)
def test_a_limit_for_an_odd_time_is_refused(world: World, since_h: int, until_h: int) -> None:
    with pytest.raises(OddWindows):
        limit(
            world,
            KITCHEN,
            "restaurant-1",
            1,
            since=now() + timedelta(hours=since_h),
            until=now() + timedelta(hours=until_h),
        )


def test_what_is_not_limited_cannot_be_freed(world: World) -> None:
    with pytest.raises(NotLimited):
        limit(world, ZONE, "north", None)


def test_every_change_is_told_with_who_and_why(world: World) -> None:
    limit(world, ZONE, "north", 7)
    limit(world, ZONE, "north", None)

    told = CapacityDesk(world.db, default=USUAL).limits("default")

    assert told.limits == []
    assert [(a.capacity, a.name, a.who, a.why) for a in told.acts] == [
        (None, "north", "fatima", "because"),
        (7, "north", "fatima", "because"),
    ]


def test_the_refused_are_offered_the_next_window_with_room(world: World) -> None:
    kitchens(world, "restaurant-1")
    first = model.window_start(now())
    limit(world, KITCHEN, "restaurant-1", 0, since=first, until=first + timedelta(minutes=30))
    limit(world, ZONE, "north", 0, since=first, until=first + timedelta(minutes=45))
    (order,) = world.accept()

    world.settle()

    offered = first + timedelta(minutes=45)
    view = Reading(world.db).order("default", order)
    assert view and view.failure and view.failure.next_window
    assert (view.failure.next_window.start, view.failure.next_window.until) == (
        offered,
        offered + timedelta(minutes=15),
    )
    data = world.one("SELECT data FROM outbox_in WHERE type = 'order.failed'")
    assert datetime.fromisoformat(data["next_window"]["from"]) == offered
    Draft202012Validator(dict(EVENTS["order.failed"].data)).validate(data)


def test_nothing_is_offered_where_nothing_is_free(world: World) -> None:
    limit(world, KITCHEN, "restaurant-1", 0)
    world.accept()

    world.settle()

    (failure,) = world.failures().values()
    assert failure["next_window"] is None


def held_until(world: World) -> datetime:
    found: datetime = world.one("SELECT expires_at FROM capacity_holds")
    return found


def waiting_with_lapsing_hold(world: World, *, left_s: int) -> None:
    """An order that has waited for its payment provider for hours; its hold lapses in so many seconds."""
    world.payment.behave(Mood.UNAVAILABLE)
    world.accept()
    world.walk(world.claim_one())
    until = now() + timedelta(seconds=left_s)
    world.sql("UPDATE capacity_holds SET expires_at = :until", until=until)
    world.sql("UPDATE runs SET not_after = now() + interval '1 h'")
    for key in world.redis.scan_iter(match="*:hold:*"):
        for order in world.redis.zrange(key, 0, -1):
            world.redis.zadd(key, {order: int(until.timestamp())})


def later() -> datetime:
    """As if the order were some minutes old."""
    return now() + timedelta(minutes=5)


def test_a_hold_that_would_lapse_is_renewed(world: World) -> None:
    waiting_with_lapsing_hold(world, left_s=400)

    renewed = renewal.renew(world.db, world.ledger, default=USUAL, now=later())

    assert (renewed.renewed, renewed.lost) == (1, ())
    assert held_until(world) > now() + timedelta(hours=1)
    assert world.ledger.counts(epoch=world.ledger.epoch() or 0, now=now() + timedelta(hours=1))


def test_a_hold_that_has_lapsed_is_taken_again_if_there_is_room(world: World) -> None:
    waiting_with_lapsing_hold(world, left_s=-1)

    renewed = renewal.renew(world.db, world.ledger, default=USUAL, now=later())
    world.payment.recover()
    world.settle()

    assert (renewed.renewed, renewed.lost) == (1, ())
    assert confirmed(world) == world.held_places() == 1


def test_an_order_whose_place_was_sold_meanwhile_is_undone(world: World) -> None:
    limit(world, KITCHEN, "restaurant-1", 1)
    waiting_with_lapsing_hold(world, left_s=-1)
    (first,) = world.statuses()
    ((slot,),) = world.rows("SELECT slot FROM capacity_holds")
    other = model.Hold(1, "another", slot, 1, now() + timedelta(hours=1))
    world.ledger.reserve([other], epoch=world.ledger.epoch() or 0, now=now())

    renewed = renewal.renew(world.db, world.ledger, default=USUAL, now=later())
    world.payment.recover()
    world.settle()

    assert (renewed.renewed, len(renewed.lost)) == (0, 1)
    assert world.failures()[first]["code"] == "hold-expired"


def test_a_hold_that_lasts_is_left_alone(world: World) -> None:
    waiting_with_lapsing_hold(world, left_s=3600)

    assert renewal.renew(world.db, world.ledger, default=USUAL, now=later()).renewed == 0


def measured(world: World, *, at: datetime | None = None) -> usage.SlotUsage:
    usage.measure(world.db, world.ledger, default=USUAL, now=at or now())
    told = CapacityDesk(world.db, default=USUAL).usage(
        "default", back_h=1, ahead_h=1, kind=KITCHEN, name=None, limit=10
    )
    (slot,) = told.slots
    return slot


def test_usage_tells_held_committed_and_refused(world: World) -> None:
    limit(world, KITCHEN, "restaurant-1", 4)
    world.accept(3)
    world.settle()
    world.payment.behave(Mood.UNAVAILABLE)
    world.accept(2)
    world.walk(world.claim_one())

    slot = measured(world)

    assert (slot.capacity, slot.taken, slot.committed, slot.held, slot.refused) == (4, 4, 3, 1, 1)
    assert slot.utilisation == 1.0
    assert slot.full_at == slot.measured_at


def test_usage_foresees_when_a_slot_will_be_full(world: World) -> None:
    limit(world, KITCHEN, "restaurant-1", 100)
    world.accept(10)
    world.settle()
    begin = now()
    measured(world, at=begin)
    world.accept(30)
    world.settle()

    slot = measured(world, at=begin + timedelta(milliseconds=100))

    assert slot.full_at
    assert slot.full_at - slot.measured_at == timedelta(seconds=60 / (0.3 * 300))


def test_the_gauges_tell_of_zones_and_of_what_is_full(world: World) -> None:
    kitchens(world, "restaurant-1")
    limit(world, KITCHEN, "restaurant-1", 4)
    world.accept(5)
    world.settle()
    usage.measure(world.db, world.ledger, default=USUAL, now=now())

    found = {
        (sample.name, sample.labels.get("zone")): sample.value
        for metric in Taken(world.db).collect()
        for sample in metric.samples
    }

    assert found == {
        ("uoop_capacity_taken", "north"): 4,
        ("uoop_capacity_places", "north"): 4,
        ("uoop_capacity_refused", "north"): 1,
        ("uoop_capacity_full_slots", None): 1,
    }


def test_a_slot_that_was_emptied_is_told_so(world: World) -> None:
    (order,) = world.accept()
    world.settle()
    measured(world)
    for key in world.redis.scan_iter(match="*:hold:*"):
        world.redis.zrem(key, order)

    assert measured(world).taken == 0


def test_the_picture_shows_zones_by_window(world: World) -> None:
    kitchens(world, "restaurant-1")
    world.accept(2)
    world.accept(1, restaurant_id="unheard-of")
    world.settle()
    usage.measure(world.db, world.ledger, default=USUAL, now=now())
    desk = CapacityDesk(world.db, default=USUAL)

    zones = desk.usage("default", back_h=1, ahead_h=1, kind=None, name=None, limit=10).zones
    drawn = "".join(ElementTree.fromstring(picture.svg(zones, now=now())).itertext())

    assert [(zone.zone, zone.taken) for zone in zones] == [("elsewhere", 1), ("north", 2)]
    assert "north" in drawn
    assert "2 of 1000 taken, 0 refused" in drawn
