"""A partner whose breaker is open costs nobody anything: his orders go elsewhere, and a few see when he is back."""

from typing import Any

import pytest
from fake_providers import Mood
from test_pauses import pause
from together import at_once
from world import RANKING, World

from app.routing import breakers
from app.routing.breaker import BreakerState
from app.routing.breakers import Breakers, NotForced
from app.runs.pauses import Kind

FIRST, SECOND, THIRD = RANKING
DISPATCH = "dispatch-to-partner"


def break_(world: World, *partners: str) -> None:
    for partner in partners:
        for _ in range(5):
            world.ports.breakers.note_failure(partner, waited_s=0.1)


def let_be_probed(world: World) -> None:
    world.sql("UPDATE breakers SET probe_at = now() - interval '1 s'")


def state(world: World, partner: str = FIRST) -> BreakerState:
    return world.ports.breakers.barred().get(partner, BreakerState.CLOSED)


def front(world: World, count: int = 1, **changes: Any) -> list[str]:
    """Accept orders, and carry them once through."""
    orders = world.accept(count, **changes)
    world.walk(world.claim_one())
    return orders


def asked(world: World, partner: str, op: str = "do") -> int:
    return sum(each == op for each, _ in world.partners[partner].calls)


def given_to(world: World) -> dict[str, int]:
    return dict(world.rows("SELECT partner, count(*) FROM uoop_orders WHERE partner IS NOT NULL GROUP BY 1"))


def test_while_all_is_well_nothing_is_written(world: World) -> None:
    front(world, 3)

    assert world.rows("SELECT * FROM breakers") == []


def test_five_cohorts_that_cannot_reach_him_open_it_and_the_sixth_does_not_try(world: World) -> None:
    world.partners[FIRST].behave(Mood.UNAVAILABLE)
    for _ in range(7):
        front(world, 2)

    assert asked(world, FIRST) == 2 * 5
    assert given_to(world) == {SECOND: 14}
    assert state(world) is BreakerState.OPEN


def test_orders_planned_before_it_opened_go_to_the_next_partner_at_once(world: World) -> None:
    orders = world.accept(2)
    claimed = world.claim_one()
    world.walk(claimed, until=DISPATCH)
    break_(world, FIRST)

    world.walk(claimed, claimed.itinerary.index(4))

    assert (asked(world, FIRST), given_to(world)) == (0, {SECOND: 2})
    assert world.book.standing("dispatches") == [f"{order}:{DISPATCH}:{SECOND}:0" for order in orders]


def test_every_worker_sees_it_open(world: World) -> None:
    break_(world, FIRST)

    assert Breakers(world.db).barred() == {FIRST: BreakerState.OPEN}


def test_failures_seen_by_several_workers_at_once_are_all_counted(world: World) -> None:
    def fail() -> None:
        Breakers(world.db).note_failure(FIRST, waited_s=0.1)

    at_once(fail, 5)

    assert state(world) is BreakerState.OPEN


def test_one_answer_between_the_failures_keeps_it_closed(world: World) -> None:
    world.partners[FIRST].behave(Mood.UNAVAILABLE, times=4)
    for _ in range(4):
        front(world)
    front(world)
    world.partners[FIRST].behave(Mood.UNAVAILABLE, times=4)
    for _ in range(4):
        front(world)

    assert state(world) is BreakerState.CLOSED


def test_a_few_orders_probe_him_and_the_others_do_not_wait_for_that(world: World) -> None:
    break_(world, FIRST)
    let_be_probed(world)

    front(world, 5)

    assert given_to(world) == {FIRST: 3, SECOND: 2}
    assert state(world) is BreakerState.CLOSED
    front(world, 5)
    assert given_to(world) == {FIRST: 8, SECOND: 2}


def test_one_worker_probes_at_a_time(world: World) -> None:
    break_(world, FIRST)
    let_be_probed(world)

    grants = [Breakers(world.db).take_probe(FIRST) for _ in range(3)]

    assert grants == [True, False, False]


@pytest.mark.parametrize("mood", [Mood.SILENT, Mood.UNAVAILABLE], ids=lambda m: m.name)
def test_a_probe_that_fails_leaves_no_order_in_doubt_and_opens_it_again(world: World, mood: Mood) -> None:
    break_(world, FIRST)
    let_be_probed(world)
    for op in ("do", "find"):
        world.partners[FIRST].behave(mood, op=op)

    orders = front(world, 5)

    assert world.statuses() == dict.fromkeys(orders, "CONFIRMED")
    assert (asked(world, FIRST), asked(world, FIRST, "find")) == (0, 3)
    assert given_to(world) == {SECOND: 5}
    assert state(world) is BreakerState.OPEN


def test_who_waits_in_a_silent_partners_lane_unasked_goes_elsewhere(world: World) -> None:
    (doubtful,) = world.accept()
    for op in ("do", "find", "undo"):
        world.partners[FIRST].behave(Mood.SILENT, op=op)
    world.walk(world.claim_one())
    (late,) = front(world)
    joined = world.one("SELECT lane FROM runs WHERE order_id = :id", id=late)
    world.sql("UPDATE runs SET due_at = now() - interval '1 s'")

    world.walk(world.claim_one())

    assert joined == f"provider:{FIRST}"
    assert world.statuses() == {doubtful: "PENDING", late: "CONFIRMED"}
    assert [key for op, key in world.partners[FIRST].calls if key.startswith(late)] == []
    assert world.book.most_dispatches() <= 1


def test_who_may_have_an_order_that_he_does_not_take_now_is_recalled_before_the_next_is_asked(
    world: World,
) -> None:
    (order,) = world.accept()
    world.partners[FIRST].behave(Mood.SILENT, times=1)
    world.partners[FIRST].behave(Mood.UNAVAILABLE)
    world.walk(world.claim_one())
    break_(world, FIRST)
    world.sql("UPDATE runs SET due_at = now() - interval '1 s'")

    world.walk(world.claim_one())

    assert ("undo", f"{order}:{DISPATCH}:{FIRST}:0") in world.partners[FIRST].calls
    assert world.book.standing("dispatches") == [f"{order}:{DISPATCH}:{SECOND}:0"]
    assert world.statuses() == {order: "CONFIRMED"}


def test_a_paused_partner_and_a_broken_off_one_are_both_passed_over(world: World) -> None:
    pause(world, Kind.PARTNER, FIRST)
    break_(world, SECOND)

    front(world, 2)

    assert given_to(world) == {THIRD: 2}


def test_with_one_paused_and_the_others_broken_off_the_order_waits_for_whoever_is_back(world: World) -> None:
    pause(world, Kind.PARTNER, FIRST)
    break_(world, SECOND, THIRD)
    (order,) = front(world)
    waiting = world.rows("SELECT state, lane, attempts FROM runs")

    world.sql("UPDATE breakers SET probe_at = NULL")
    world.sql("UPDATE runs SET due_at = now() - interval '1 s'")
    world.walk(world.claim_one())

    assert waiting == [("w", "front", 0)]
    assert world.statuses() == {order: "CONFIRMED"}


def test_with_nobody_left_the_order_waits_and_goes_on_when_one_is_back(world: World) -> None:
    break_(world, *RANKING)

    (order,) = front(world)
    waiting = world.rows("SELECT state, attempts FROM runs")
    world.settle()

    assert waiting == [("w", 0)]
    assert world.statuses() == {order: "CONFIRMED"}


def test_who_is_refused_by_all_others_sees_whether_a_barred_partner_is_back(world: World) -> None:
    break_(world, THIRD)
    for partner in (FIRST, SECOND):
        world.partners[partner].behave(Mood.REFUSE)
    let_be_probed(world)

    (order,) = front(world)

    assert given_to(world) == {THIRD: 1}
    assert state(world, THIRD) is BreakerState.CLOSED
    assert world.statuses() == {order: "CONFIRMED"}


def test_who_was_refused_by_a_probed_partner_too_waits_for_one_that_is_still_barred(world: World) -> None:
    break_(world, SECOND, THIRD)
    for partner in (FIRST, SECOND):
        world.partners[partner].behave(Mood.REFUSE)
    world.sql("UPDATE breakers SET probe_at = now() - interval '1 s' WHERE partner = :p", p=SECOND)

    (order,) = front(world)

    assert (asked(world, SECOND), state(world, THIRD)) == (1, BreakerState.OPEN)
    assert world.statuses() == {order: "PENDING"}
    assert world.failures() == {}


def test_with_nobody_left_until_its_time_is_nearly_over_the_order_is_undone(world: World) -> None:
    break_(world, *RANKING)
    (order,) = front(world)
    world.sql("UPDATE runs SET not_after = now() + interval '3 s', due_at = now() - interval '1 s'")

    world.walk(world.claim_one())
    world.engine.claim()
    world.walk_sent()

    assert world.failures()[order]["code"] == "no-available-partner"
    assert world.standing() == []


def force(world: World, forced: BreakerState, for_s: float) -> None:
    with world.db.begin() as connection:
        breakers.force(
            connection, FIRST, forced, for_s=for_s, tenant_id="default", who="fatima", why="their upgrade"
        )


def test_an_operator_holds_it_open_for_a_while(world: World) -> None:
    force(world, BreakerState.OPEN, 60)
    front(world)
    world.sql("UPDATE breakers SET forced_until = now()")
    front(world)

    assert given_to(world) == {SECOND: 1, FIRST: 1}


def test_an_operator_holds_it_closed_for_a_while(world: World) -> None:
    break_(world, FIRST)
    force(world, BreakerState.CLOSED, 60)

    front(world)

    assert given_to(world) == {FIRST: 1}


def test_a_release_leaves_it_to_the_calls_again_and_is_logged(world: World) -> None:
    force(world, BreakerState.OPEN, 60)
    with world.db.begin() as connection:
        breakers.release(connection, FIRST, tenant_id="default", who="fatima", why="done early")
    acts = world.rows("SELECT act, who, why FROM ops_acts ORDER BY id")

    assert acts == [("force-open", "fatima", "their upgrade"), ("release", "fatima", "done early")]
    assert state(world) is BreakerState.CLOSED
    with pytest.raises(NotForced), world.db.begin() as connection:
        breakers.release(connection, FIRST, tenant_id="default", who="fatima", why="twice")
