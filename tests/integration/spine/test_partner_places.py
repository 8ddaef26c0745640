"""What delivery partners take per window: never more, given back for what they do not bring, told in the choice."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from fake_providers import Mood
from test_pauses import pause
from world import RANKING, STAGES, STEPS, World

from app.capacity import service
from app.capacity.desk import CapacityDesk
from app.capacity.ledger import Held
from app.capacity.limits import Wanted
from app.capacity.model import Slot, SlotKind
from app.routing import decisions
from app.routing.choice import PassedOver
from app.runs.pauses import Kind
from sagas.cancel_confirmed_order import CANCEL_CONFIRMED_ORDER
from sagas.delivery_desk import DeliveryDesk

FIRST, SECOND, THIRD = RANKING
DISPATCH = "dispatch-to-partner"


def limit(world: World, partner: str, capacity: int | None) -> None:
    wanted = Wanted(kind=SlotKind.PARTNER, name=partner, capacity=capacity)
    CapacityDesk(world.db, default=1000).put("default", wanted, who="fatima", why="because")


def settled(world: World, count: int = 1) -> list[str]:
    orders = world.accept(count)
    world.settle()
    return orders


def brought_by(world: World) -> Counter[str]:
    return Counter(
        name for (name,) in world.rows("SELECT partner FROM uoop_orders WHERE status = 'CONFIRMED'")
    )


def places(world: World) -> dict[str, int]:
    """Places taken with partners, on which truth and ledger agree."""
    world.held_places()
    epoch = world.one("SELECT epoch FROM capacity_ledger")
    counts = world.ledger.counts(epoch=epoch, now=datetime.now(UTC))
    slots = [(slot, count) for name, count in counts.items() if (slot := Slot.read(name))]
    return {slot.name: count for slot, count in slots if slot.kind is SlotKind.PARTNER}


def test_nobody_gets_more_than_he_takes_and_the_next_one_gets_the_rest(world: World) -> None:
    limit(world, FIRST, 2)
    limit(world, SECOND, 1)

    settled(world, 5)

    assert brought_by(world) == {FIRST: 2, SECOND: 1, THIRD: 2}
    assert places(world) == {FIRST: 2, SECOND: 1}


def test_who_is_full_is_passed_over_in_the_choice_with_that_reason(world: World) -> None:
    limit(world, FIRST, 1)
    settled(world)

    (order,) = settled(world)

    with world.db.begin() as connection:
        view = decisions.latest(
            connection, world.one("SELECT run_id FROM uoop_orders WHERE id = :o", o=order)
        )
    assert view
    assert {each.channel: each.passed_over for each in view.candidates} == {
        FIRST: PassedOver.FULL,
        SECOND: None,
        THIRD: PassedOver.DEARER,
    }


def test_another_tenants_limit_is_not_ours(world: World) -> None:
    world.sql("INSERT INTO tenants (id, name) VALUES ('other', 'Other')")
    wanted = Wanted(kind=SlotKind.PARTNER, name=FIRST, capacity=0)
    CapacityDesk(world.db, default=1000).put("other", wanted, who="fatima", why="because")
    (theirs,) = world.accept(tenant="other")

    (ours,) = settled(world)

    assert dict(world.rows("SELECT id, partner FROM uoop_orders")) == {ours: FIRST, theirs: SECOND}


def test_a_limit_that_is_taken_away_binds_nobody(world: World) -> None:
    limit(world, FIRST, 0)
    limit(world, FIRST, None)

    settled(world, 2)

    assert brought_by(world) == {FIRST: 2}


def test_who_refuses_an_order_keeps_no_place_for_it(world: World) -> None:
    limit(world, FIRST, 1)
    world.partners[FIRST].behave(Mood.REFUSE, times=1)
    settled(world)
    between = places(world)

    settled(world)

    assert between == {}
    assert brought_by(world) == {SECOND: 1, FIRST: 1}


def test_an_order_that_fails_gives_its_place_back(world: World) -> None:
    limit(world, THIRD, 1)
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE)

    settled(world)

    assert list(world.statuses().values()) == ["FAILED"]
    assert places(world) == {}


def test_a_cancelled_order_gives_its_place_back(world: World) -> None:
    limit(world, FIRST, 1)
    (order,) = settled(world)

    world.follow_up(CANCEL_CONFIRMED_ORDER, order)
    world.settle()
    settled(world)

    assert world.statuses()[order] == "CANCELLED"
    assert brought_by(world) == {FIRST: 1}
    assert places(world) == {FIRST: 1}


def test_an_order_takes_its_place_along_to_another_partner(world: World) -> None:
    limit(world, FIRST, 1)
    limit(world, SECOND, 1)
    (order,) = settled(world)

    DeliveryDesk(world.db, world.doorbell).reroute("default", order, who="ali", why="an accident")
    world.settle()

    assert brought_by(world) == {SECOND: 1}
    assert places(world) == {SECOND: 1}


def test_who_may_have_an_order_keeps_it_whatever_his_limit_is_now(world: World) -> None:
    world.partners[FIRST].behave(Mood.LOSE_ANSWER, times=1)
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed)
    limit(world, FIRST, 0)

    world.settle()

    assert brought_by(world) == {FIRST: 1}
    assert world.book.most_dispatches() == 1
    assert places(world) == {FIRST: 1}


def test_while_the_ledger_is_lost_nobody_with_a_limit_is_asked(world: World) -> None:
    limit(world, FIRST, 1)
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=DISPATCH)
    world.redis.flushdb()

    world.engine.run_stretch(claimed.id, 1, [(STAGES[DISPATCH], (STEPS[DISPATCH],))])
    asked = world.book.standing("dispatches")
    service.rebuild(world.db, world.ledger)
    world.settle()

    assert asked == []
    assert brought_by(world) == {FIRST: 1}
    assert places(world) == {FIRST: 1}


def test_whose_place_nobody_could_tell_in_his_time_is_taken_back_from_nobody(world: World) -> None:
    limit(world, FIRST, 1)
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=DISPATCH)
    world.redis.flushdb()
    world.engine.run_stretch(claimed.id, 1, [(STAGES[DISPATCH], (STEPS[DISPATCH],))])

    service.rebuild(world.db, world.ledger)
    world.sql("UPDATE runs SET not_after = now() - interval '1 s'")
    world.settle()

    assert list(world.statuses().values()) == ["FAILED"]
    assert [partner.calls for partner in world.partners.values()] == [[], [], []]
    assert places(world) == {}


@pytest.mark.parametrize("held_back", [[], [FIRST]])
def test_a_place_that_nobody_could_tell_is_not_taken_beyond_the_limit_later(
    world: World, held_back: list[str]
) -> None:
    for partner in held_back:
        pause(world, Kind.PARTNER, partner)
    asked, instead = [partner for partner in RANKING if partner not in held_back][:2]
    limit(world, asked, 1)
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=DISPATCH)
    world.redis.flushdb()
    world.engine.run_stretch(claimed.id, 1, [(STAGES[DISPATCH], (STEPS[DISPATCH],))])
    service.rebuild(world.db, world.ledger)

    limit(world, asked, 0)
    world.settle()

    assert brought_by(world) == {instead: 1}
    assert world.partners[asked].calls == []


def test_who_was_full_is_not_recalled_from(world: World) -> None:
    limit(world, FIRST, 1)
    limit(world, SECOND, 1)
    settled(world, 2)
    # planned while there was room, and full when it is his turn
    limit(world, FIRST, 2)
    limit(world, SECOND, 2)
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=DISPATCH)
    for partner in (FIRST, SECOND):
        limit(world, partner, 1)
        world.partners[partner].calls.clear()
    world.partners[THIRD].behave(Mood.REFUSE)

    world.walk(claimed, leg=STAGES[DISPATCH])
    world.settle()

    assert sorted(world.statuses().values()) == ["CONFIRMED", "CONFIRMED", "FAILED"]
    assert [len(world.partners[partner].calls) for partner in (FIRST, SECOND)] == [0, 0]
    assert places(world) == {FIRST: 1, SECOND: 1}


def test_a_place_in_a_ledger_that_was_rebuilt_meanwhile_is_taken_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(world, FIRST, 1)
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=DISPATCH)
    reserve = world.ledger.reserve

    def overtaken(*holds: Any, **at: Any) -> list[Held]:
        answers = reserve(*holds, **at)
        service.rebuild(world.db, world.ledger)
        return answers

    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "reserve", overtaken)
        world.engine.run_stretch(claimed.id, 1, [(STAGES[DISPATCH], (STEPS[DISPATCH],))])
    asked = world.book.standing("dispatches")
    world.settle()

    assert asked == []
    assert places(world) == brought_by(world) == {FIRST: 1}


def test_without_limits_nothing_is_asked_of_the_ledger(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=DISPATCH)
    world.redis.flushdb()

    world.engine.run_stretch(claimed.id, 1, [(STAGES[DISPATCH], (STEPS[DISPATCH],))])

    assert len(world.book.standing("dispatches")) == 1
