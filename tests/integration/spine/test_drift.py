"""Drift inside an epoch is found and mended while orders flow, and nothing else is touched."""

from datetime import UTC, datetime, timedelta

import pytest
from fake_providers import Mood
from world import World

from app.capacity import drift, service
from app.capacity.drift import Cause
from app.capacity.ledger import EPOCH_KEY, Entry, Ledger, LedgerLost
from app.capacity.model import Hold


def mend(world: World) -> list[tuple[Cause, str]]:
    found = drift.mend(world.db, world.ledger, now=datetime.now(UTC))
    return [(one.cause, one.order_id) for one in found]


def forget(world: World, kind: str, order: str) -> None:
    """Let Redis lose a write, as one that fails over to a replica does."""
    for key in world.redis.scan_iter(match=f"*:{kind}:*"):
        world.redis.zrem(key, order)


def hold_again(world: World, order: str) -> None:
    """Let the ledger have what it had before it was given back."""
    forget(world, "gone", order)
    ((slot, expires_at),) = world.rows(
        "SELECT slot, expires_at FROM capacity_holds WHERE order_id = :o", o=order
    )
    reserve(world, order, slot, expires_at)


def reserve(world: World, order: str, slot: str, expires_at: datetime) -> None:
    with world.db.begin() as connection:
        epoch = service.epoch(connection)
    world.ledger.reserve([Hold(1, order, slot, 10, expires_at)], epoch=epoch, now=datetime.now(UTC))


def failed_order(world: World) -> str:
    """An order that held a place and gave it back."""
    world.kitchens.behave(Mood.REFUSE)
    (order,) = world.accept()
    world.settle()
    world.kitchens.recover()
    return order


def test_without_drift_nothing_is_mended(world: World) -> None:
    world.accept(3)
    world.settle()
    failed_order(world)

    assert mend(world) == []
    assert world.held_places() == 3


def test_a_hold_that_the_ledger_lost_is_put_back(world: World) -> None:
    order, _ = world.accept(2)
    world.settle()
    forget(world, "hold", order)

    assert mend(world) == [(Cause.HOLD_LOST, order)]
    assert world.held_places() == 2
    assert mend(world) == []


def test_a_release_that_the_ledger_lost_is_made_again(world: World) -> None:
    order = failed_order(world)
    hold_again(world, order)

    assert mend(world) == [(Cause.RELEASE_LOST, order)]
    assert world.held_places() == 0
    assert mend(world) == []


def test_a_hold_that_was_never_kept_goes_when_its_order_is_over(world: World) -> None:
    order = failed_order(world)
    hold_again(world, order)
    world.sql("DELETE FROM capacity_holds")

    assert mend(world) == [(Cause.NEVER_KEPT, order)]
    assert world.held_places() == 0


def test_a_hold_of_an_order_that_nobody_knows_goes(world: World) -> None:
    reserve(world, "unknown", "slot", datetime.now(UTC) + timedelta(hours=1))

    assert mend(world) == [(Cause.NEVER_KEPT, "unknown")]


@pytest.mark.parametrize("moment", ["not kept yet", "not released yet"])
def test_what_is_being_made_just_now_is_no_drift(world: World, moment: str) -> None:
    (order,) = world.accept()
    mended: list[object] = []
    name = "reserve" if moment == "not kept yet" else "release"
    real = getattr(world.ledger, name)

    def looked_at(*arguments: object, **keywords: object) -> object:
        answer = real(*arguments, **keywords)
        mended.append((service.drift(world.db, world.ledger, now=datetime.now(UTC)) != {}, mend(world)))
        return answer

    setattr(world.ledger, name, looked_at)
    if name == "release":
        world.kitchens.behave(Mood.REFUSE)
    world.settle()

    assert mended == [(True, [])]
    assert world.statuses() == {order: "CONFIRMED" if name == "reserve" else "FAILED"}
    assert world.held_places() == (name == "reserve")


@pytest.mark.parametrize("status", ["CONFIRMED", "FAILED"])
def test_what_changes_between_two_looks_is_no_drift(world: World, status: str) -> None:
    """Orders go through their whole saga after the ledger was read and before the truth is."""
    lost, _ = world.accept(2)
    world.settle()
    forget(world, "hold", lost)
    real = world.ledger.held
    if status == "FAILED":
        world.kitchens.behave(Mood.REFUSE)

    def read_before_others_come(*arguments: object, **keywords: object) -> list[Entry]:
        entries = real(*arguments, **keywords)  # type: ignore[arg-type]
        world.accept(2)
        world.settle()
        return entries

    world.ledger.held = read_before_others_come  # type: ignore[method-assign]

    assert mend(world) == [(Cause.HOLD_LOST, lost)]
    assert world.held_places() == (4 if status == "CONFIRMED" else 2)


def test_a_place_put_back_is_not_taken_from_one_that_gave_it_back_meanwhile(world: World) -> None:
    (order,) = world.accept()
    world.settle()
    forget(world, "hold", order)
    real = world.ledger.put_back

    def after_a_release(entries: list[Entry], *, epoch: int, now: datetime) -> list[bool]:
        ((_, _, expiry),) = entries
        at = datetime.fromtimestamp(expiry, UTC)
        world.ledger.release([Hold(1, order, entries[0][0], 0, at)], epoch=epoch, now=now)
        return real(entries, epoch=epoch, now=now)

    world.ledger.put_back = after_a_release  # type: ignore[method-assign,assignment]

    assert mend(world) == []


def test_a_lost_ledger_is_not_mended_but_rebuilt(world: World) -> None:
    world.accept(2)
    world.settle()
    world.redis.flushdb()

    with pytest.raises(LedgerLost):
        mend(world)
    service.rebuild(world.db, world.ledger)
    assert world.held_places() == 2


def test_of_two_rebuilds_the_later_stays_open(world: World) -> None:
    """The first is overtaken by the second just before it opens what it has loaded."""
    world.accept(2)
    world.settle()
    later: list[int] = []

    class Overtaken(Ledger):
        def load(self, *arguments: object, **keywords: object) -> None:
            later.append(service.rebuild(world.db, world.ledger))
            super().load(*arguments, **keywords)  # type: ignore[arg-type]

    service.rebuild(world.db, Overtaken(world.redis))

    assert world.ledger.epoch() == later[0] == world.one("SELECT epoch FROM capacity_ledger")
    assert world.held_places() == 2


def test_a_truth_brought_back_from_a_backup_opens_an_epoch_that_never_was(world: World) -> None:
    world.redis.set(EPOCH_KEY, 77)

    opened = service.rebuild(world.db, world.ledger)

    assert opened == 78 == world.ledger.epoch()
