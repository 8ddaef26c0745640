"""The pivot: never two dispatches of an order that stand, whatever is refused, lost, overtaken or late."""

import random
import threading
from collections.abc import Callable

import pytest
from fake_providers import Mood
from test_operations import do
from world import RANKING, STAGES, STEPS, World

from app.runs.allowed import Act, PastPivot
from app.runs.cohorts import Claimed

FIRST, SECOND, THIRD = RANKING
DISPATCH = "dispatch-to-partner"


def brought_to_dispatch(world: World, count: int = 1) -> tuple[Claimed, list[str]]:
    orders = world.accept(count)
    claimed = world.claim_one()
    world.walk(claimed, until=DISPATCH)
    return claimed, orders


def dispatch(world: World, claimed: Claimed, *, epoch: int = 1) -> bool:
    return world.engine.run_stretch(claimed.id, epoch, [(STAGES[DISPATCH], (STEPS[DISPATCH],))])


def intents(world: World) -> list[str]:
    return [
        row[0]
        for row in world.rows("SELECT partner FROM dispatch_attempts WHERE NOT recall ORDER BY run_id, nth")
    ]


def asked(world: World) -> list[str]:
    """Who has been asked to deliver, by the ledger of calls."""
    return [name for name in RANKING if any(op == "do" for op, _ in world.partners[name].calls)]


@pytest.mark.parametrize("mood", [Mood.REFUSE, Mood.UNAVAILABLE], ids=lambda m: m.name)
def test_the_next_partner_is_asked_after_his_intent_is_committed(world: World, mood: Mood) -> None:
    claimed, (order,) = brought_to_dispatch(world)
    world.partners[FIRST].behave(mood)
    seen: list[list[str]] = []
    world.partners[SECOND].meanwhile("before do", lambda: seen.append(intents(world)))

    dispatch(world, claimed)
    world.settle()

    assert seen == [[SECOND]]
    assert world.book.standing("dispatches") == [f"{order}:{DISPATCH}:{SECOND}:0"]
    assert world.statuses() == {order: "CONFIRMED"}


@pytest.fixture
def distant(world: World) -> World:
    """A courier of ours is free, but so far away that any partner is cheaper."""
    world.add_courier()
    world.sql("UPDATE couriers SET lat = 26.6")
    return world


def test_a_courier_of_ours_brings_what_all_partners_refuse(distant: World) -> None:
    for partner in distant.partners.values():
        partner.behave(Mood.REFUSE)

    (order,) = distant.accept()
    distant.settle()

    assert asked(distant) == list(RANKING)
    assert distant.rows("SELECT status, partner FROM uoop_orders") == [("CONFIRMED", "own-fleet")]
    assert distant.rows("SELECT order_id, courier_id FROM fleet_pool") == [(order, "courier-1")]


def test_while_a_partner_may_have_it_no_courier_of_ours_is_asked(distant: World) -> None:
    distant.partners[FIRST].behave(Mood.REFUSE)
    distant.partners[SECOND].behave(Mood.REFUSE)
    distant.partners[THIRD].behave(Mood.LOSE_ANSWER, times=1)
    claimed, (order,) = brought_to_dispatch(distant)

    dispatch(distant, claimed)
    pooled = distant.pooled()
    distant.settle()

    assert pooled == 0
    assert distant.standing().count(f"{order}:{DISPATCH}:{THIRD}:0") == 1
    assert distant.pooled() == 0


def test_all_who_may_have_it_are_recalled_at_the_same_time(world: World) -> None:
    (order,) = world.accept()
    together = threading.Barrier(len(RANKING))
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE)
        partner.meanwhile("before undo", lambda: together.wait(10))

    world.settle()

    assert world.statuses() == {order: "FAILED"}
    assert not together.broken


def test_all_refuse_and_the_order_fails(world: World) -> None:
    (order,) = world.accept()
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE)

    world.settle()

    assert asked(world) == list(RANKING)
    assert world.failures()[order]["code"] == "no-available-partner"
    assert world.standing() == []


def test_all_unreachable_for_a_while_and_the_order_waits(world: World) -> None:
    (order,) = world.accept()
    for partner in world.partners.values():
        partner.behave(Mood.UNAVAILABLE, times=3)

    world.settle()

    assert world.statuses() == {order: "CONFIRMED"}
    assert world.book.most_dispatches() == 1


@pytest.mark.parametrize("mood", [Mood.LOSE_ANSWER, Mood.SILENT], ids=lambda m: m.name)
def test_a_lost_answer_goes_into_the_partners_lane_and_asks_nobody_else(world: World, mood: Mood) -> None:
    claimed, (order,) = brought_to_dispatch(world)
    world.partners[FIRST].behave(mood, times=1)

    dispatch(world, claimed)
    waiting = world.rows("SELECT state, lane, stage, attempts FROM runs")
    world.settle()

    assert waiting == [("w", f"provider:{FIRST}", STAGES[DISPATCH], 1)]
    assert asked(world) == [FIRST]
    assert world.book.standing("dispatches") == [f"{order}:{DISPATCH}:{FIRST}:0"]
    assert world.statuses() == {order: "CONFIRMED"}


def test_a_dispatch_whose_answer_is_always_lost_is_found(world: World) -> None:
    (order,) = world.accept()
    world.partners[FIRST].behave(Mood.LOSE_ANSWER)

    world.settle()

    assert [op for op, _ in world.partners[FIRST].calls] == ["do", "find"]
    assert world.statuses() == {order: "CONFIRMED"}


def test_one_in_doubt_who_then_refuses_is_recalled_before_the_next_is_asked(world: World) -> None:
    (order,) = world.accept()
    world.partners[FIRST].behave(Mood.SILENT, times=1)
    world.partners[FIRST].behave(Mood.REFUSE)
    recalled: list[bool] = []
    world.partners[SECOND].meanwhile(
        "before do",
        lambda: recalled.append(("undo", f"{order}:{DISPATCH}:{FIRST}:0") in world.partners[FIRST].calls),
    )

    world.settle()

    assert recalled == [True]
    assert world.book.standing("dispatches") == [f"{order}:{DISPATCH}:{SECOND}:0"]


def test_one_in_doubt_who_acknowledges_no_recall_keeps_the_others_from_being_asked(world: World) -> None:
    (order,) = world.accept()
    world.partners[FIRST].behave(Mood.SILENT, times=1)
    world.partners[FIRST].behave(Mood.REFUSE)
    world.partners[FIRST].behave(Mood.SILENT, op="undo")

    world.settle()

    assert asked(world) == [FIRST]
    assert world.states() == {order: "p"}


def test_trouble_in_an_earlier_stage_does_not_tie_the_order_to_one_partner(world: World) -> None:
    (order,) = world.accept()
    world.payment.behave(Mood.UNAVAILABLE, times=2)
    world.partners[FIRST].behave(Mood.UNAVAILABLE)

    world.settle()

    assert world.statuses() == {order: "CONFIRMED"}
    assert world.book.standing("dispatches") == [f"{order}:{DISPATCH}:{SECOND}:0"]


def test_partners_of_one_cohort_are_asked_apart(world: World) -> None:
    claimed, orders = brought_to_dispatch(world, 4)
    world.partners[FIRST].behave(Mood.REFUSE, orders=orders[:1])
    world.partners[FIRST].behave(Mood.SILENT, orders=orders[1:2])
    for name in (FIRST, SECOND):
        world.partners[name].behave(Mood.REFUSE, orders=orders[2:3])

    dispatch(world, claimed)

    assert sorted(world.book.standing("dispatches")) == sorted(
        [
            f"{orders[0]}:{DISPATCH}:{SECOND}:0",
            f"{orders[2]}:{DISPATCH}:{THIRD}:0",
            f"{orders[3]}:{DISPATCH}:{FIRST}:0",
        ]
    )


# An executor stops at one moment of its execution, is overtaken by another that does the whole step in a new epoch,
# and then goes on. Moments by the provider's call at which it stops.
MOMENTS = {
    "before the first is asked": (FIRST, "before do"),
    "with the first's answer in hand": (FIRST, "after do"),
    "before the second is asked": (SECOND, "before do"),
    "with the second's answer in hand": (SECOND, "after do"),
    "before the third is asked": (THIRD, "before do"),
    "with the third's answer in hand": (THIRD, "after do"),
}
# How the partners treat the first executor, and then the one that overtakes it.
CHANGES_OF_MIND = {
    "first refuses, then refuses all": ({FIRST: Mood.REFUSE}, {FIRST: Mood.REFUSE}),
    "first refuses, then takes": ({FIRST: Mood.REFUSE}, {}),
    "first takes, then refuses": ({}, {FIRST: Mood.REFUSE}),
    "first away, then takes": ({FIRST: Mood.UNAVAILABLE}, {}),
    "first away, then silent": ({FIRST: Mood.UNAVAILABLE}, {FIRST: Mood.SILENT}),
    "first takes, then away": ({}, {FIRST: Mood.UNAVAILABLE}),
    "first loses the answer, then refuses": ({FIRST: Mood.LOSE_ANSWER}, {FIRST: Mood.REFUSE}),
    "two refuse, then two refuse": (
        {FIRST: Mood.REFUSE, SECOND: Mood.REFUSE},
        {FIRST: Mood.REFUSE, SECOND: Mood.REFUSE},
    ),
    "two refuse, then all take": ({FIRST: Mood.REFUSE, SECOND: Mood.REFUSE}, {}),
    "two away, then second takes": (
        {FIRST: Mood.UNAVAILABLE, SECOND: Mood.UNAVAILABLE},
        {FIRST: Mood.REFUSE},
    ),
    "first refuses second loses, then second refuses": (
        {FIRST: Mood.REFUSE, SECOND: Mood.LOSE_ANSWER},
        {FIRST: Mood.REFUSE, SECOND: Mood.REFUSE},
    ),
    "all refuse, then all refuse": (dict.fromkeys(RANKING, Mood.REFUSE), dict.fromkeys(RANKING, Mood.REFUSE)),
}


@pytest.mark.parametrize("afterwards", ["goes on", "is finished by the other", "is undone meanwhile"])
@pytest.mark.parametrize("minds", CHANGES_OF_MIND.values(), ids=CHANGES_OF_MIND)
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_an_overtaken_executor_changes_nothing_and_dispatches_nothing_twice(
    world: World,
    moment: tuple[str, str],
    minds: tuple[dict[str, Mood], dict[str, Mood]],
    afterwards: str,
) -> None:
    claimed, (order,) = brought_to_dispatch(world)
    stops_at, when = moment
    first_mind, second_mind = minds
    set_minds(world, first_mind)
    left_behind: list[object] = []

    def overtake() -> None:
        set_minds(world, second_mind)
        world.expire_leases()
        world.engine.sweep()
        ((resent, leg),) = world.carrier.sent
        world.carrier.sent.clear()
        assert dispatch(world, resent, epoch=2) in (True, False)
        if afterwards != "goes on":
            world.walk(resent, leg)
        if afterwards == "is undone meanwhile":
            world.sql("UPDATE runs SET not_after = now() WHERE state = 'w'")
            world.settle()
        set_minds(world, first_mind)
        left_behind.append(world.everything())

    world.partners[stops_at].meanwhile(when, overtake)

    goes_on = dispatch(world, claimed)
    reached = bool(left_behind)

    assert not (reached and goes_on)
    assert left_behind in ([], [world.everything()])
    set_minds(world, {})
    world.settle()
    assert world.book.most_dispatches() <= 1
    assert_consistent(world, order)


def set_minds(world: World, minds: dict[str, Mood]) -> None:
    for name, partner in world.partners.items():
        partner.recover()
        if name in minds:
            partner.behave(minds[name])


def assert_consistent(world: World, order: str) -> None:
    """Confirmed with the very dispatch that stands; or failed or in a person's hands."""
    mine = [key for key in world.standing() if key.startswith(order)]
    standing = [key for key in mine if f":{DISPATCH}:" in key]
    ((status, partner, state),) = world.rows(
        "SELECT o.status, o.partner, r.state FROM uoop_orders o JOIN runs r ON r.id = o.run_id WHERE o.id = :id",
        id=order,
    )
    if status == "CONFIRMED":
        assert standing == [f"{order}:{DISPATCH}:{partner}:0"]
    elif status == "FAILED":
        assert mine == []
    else:
        assert state == "p"


def test_an_executor_that_slept_before_its_recall_does_not_take_back_what_another_has_arranged(
    world: World,
) -> None:
    (order,) = world.accept()
    first = world.partners[FIRST]
    first.behave(Mood.SILENT, times=1)
    first.behave(Mood.REFUSE, times=1)
    world.walk(world.claim_one())
    world.hurry()
    asked_again = world.claim_one()

    def another_takes_over() -> None:
        world.expire_leases()
        world.engine.sweep()
        world.walk_sent()

    first.meanwhile("after do", another_takes_over)
    world.walk(asked_again)
    world.settle()

    assert world.statuses() == {order: "CONFIRMED"}
    assert world.book.standing("dispatches") == [f"{order}:{DISPATCH}:{FIRST}:0"]


class Died(BaseException):
    """The process is gone, in the middle of a step."""


def die() -> None:
    raise Died


def crash_until_taken_apart(world: World, claimed: Claimed) -> None:
    """Let two processes die right after they have asked the first partner."""
    leg = 0
    for last_words in ("after do", "after find"):
        world.partners[FIRST].meanwhile(last_words, die)
        with pytest.raises(Died):
            world.walk(claimed, leg)
        world.expire_leases()
        world.engine.sweep()
        if world.carrier.sent:
            ((claimed, leg),) = world.carrier.sent
            world.carrier.sent.clear()


def test_orders_taken_apart_after_crashes_are_not_offered_to_a_second_partner(world: World) -> None:
    orders = world.accept(2)
    crash_until_taken_apart(world, world.claim_one())
    apart = world.rows("SELECT DISTINCT state, lane LIKE 'isolation:%' FROM runs")
    for op in ("do", "find", "undo"):
        world.partners[FIRST].behave(Mood.UNAVAILABLE, op=op)

    world.settle()

    assert apart == [("w", True)]
    assert asked(world) == [FIRST]
    assert world.book.most_dispatches() == 1
    assert set(world.statuses()) == set(orders)


def test_an_executor_that_hung_while_its_cohort_was_taken_apart_asks_nobody(world: World) -> None:
    orders = world.accept(2)
    claimed = world.claim_one()
    world.walk(claimed, until=DISPATCH)
    first = world.partners[FIRST]
    first.behave(Mood.REFUSE, times=2)

    def taken_apart() -> None:
        world.expire_leases()
        world.engine.sweep()
        world.carrier.sent.clear()
        world.sql("UPDATE executions SET starts = 2 WHERE finished_at IS NULL")
        world.age()
        world.engine.sweep()
        world.settle()

    first.meanwhile("after do", taken_apart)

    assert not dispatch(world, claimed)
    assert world.statuses() == dict.fromkeys(orders, "CONFIRMED")
    assert world.book.most_dispatches() == 1
    assert asked(world) == [FIRST]


@pytest.mark.parametrize("seed", range(12))
def test_no_two_dispatches_stand_in_any_disorder(world: World, seed: int) -> None:
    """Partners answer by chance, executors are overtaken by chance at any call, up to three deep."""
    chance = random.Random(seed)  # noqa: S311 (not a secret)
    orders = world.accept(3)
    world.engine.claim()
    for provider in world.providers():
        provider.chance = moods_by_chance(chance)
        for moment in ("before do", "after do", "before find", "before undo", "after undo"):
            for _ in range(2):
                provider.meanwhile(moment, overtaking_by_chance(world, chance))

    for _ in range(chance.randrange(4, 12)):
        disorder(world, chance)
    for provider in world.providers():
        provider.chance = lambda _: None
    world.settle()

    assert world.book.most_dispatches() <= 1
    for order in orders:
        assert_consistent(world, order)
    assert world.taken_slots() == 0


def moods_by_chance(chance: random.Random) -> Callable[[str], Mood | None]:
    def mood(op: str) -> Mood | None:
        moods = [None, None, Mood.UNAVAILABLE, Mood.SILENT, Mood.LOSE_ANSWER]
        return chance.choice([*moods, Mood.REFUSE] if op == "do" else moods)

    return mood


def overtaking_by_chance(world: World, chance: random.Random) -> Callable[[], None]:
    def overtake() -> None:
        if chance.random() < 0.4:
            disorder(world, chance)

    return overtake


def disorder(world: World, chance: random.Random) -> None:
    world.hurry()
    world.engine.sweep()
    world.engine.claim()
    sent = list(world.carrier.sent)
    if chance.random() < 0.7:
        world.carrier.sent.clear()
    for claimed, leg in sent:
        world.walk(claimed, leg)


def one_waits_for(world: World, partner: str) -> str:
    """An order that the partner has left in doubt and that comes again later."""
    claimed, (order,) = brought_to_dispatch(world)
    world.partners[partner].behave(Mood.SILENT)
    dispatch(world, claimed)
    world.sql("UPDATE runs SET due_at = now() + interval '1 h' WHERE state = 'w'")
    return order


def calls_for(world: World, partner: str, order: str) -> list[str]:
    return [op for op, key in world.partners[partner].calls if key.startswith(order)]


def test_who_would_be_sent_to_a_silent_partner_joins_those_who_wait_for_him_unasked(world: World) -> None:
    waits = one_waits_for(world, FIRST)
    (late,) = world.accept()
    world.walk(world.claim_one())

    ((lane, attempts),) = world.rows("SELECT lane, attempts FROM runs WHERE order_id = :id", id=late)
    unasked = calls_for(world, FIRST, late) + calls_for(world, SECOND, late)
    world.partners[FIRST].recover()
    world.settle()

    assert (lane, attempts, unasked) == (f"provider:{FIRST}", 0, [])
    assert world.statuses() == {waits: "CONFIRMED", late: "CONFIRMED"}
    assert calls_for(world, FIRST, late) == ["do"]  # nobody had asked before: there was nothing to be found


@pytest.mark.parametrize("act", [Act.CANCEL, Act.COMPENSATE])
def test_who_waits_for_a_silent_partner_unasked_can_be_called_back(world: World, act: Act) -> None:
    one_waits_for(world, FIRST)
    (late,) = world.accept()
    world.walk(world.claim_one())

    do(world, act, late)
    world.settle()

    assert world.statuses()[late] == ("CANCELLED" if act is Act.CANCEL else "FAILED")
    assert calls_for(world, FIRST, late) == []
    assert world.one("SELECT count(*) FROM runs WHERE order_id = :id", id=late) == 1


def test_who_waits_for_a_silent_partner_that_may_have_the_order_cannot_be_called_back(world: World) -> None:
    waits = one_waits_for(world, FIRST)

    with pytest.raises(PastPivot):
        do(world, Act.COMPENSATE, waits)


def test_a_partner_asked_at_this_moment_by_those_who_waited_is_not_asked_beside_them(world: World) -> None:
    one_waits_for(world, FIRST)
    world.sql("UPDATE runs SET due_at = now()")
    world.claim_one()
    (late,) = world.accept()

    world.walk(world.claim_one())

    assert calls_for(world, FIRST, late) == []


def test_a_partner_for_whom_nobody_waits_any_more_is_asked_at_the_front(world: World) -> None:
    one_waits_for(world, FIRST)
    world.partners[FIRST].recover()
    world.settle()
    (later,) = world.accept()

    world.walk(world.claim_one())

    assert world.statuses()[later] == "CONFIRMED"


def test_who_was_never_asked_for_is_not_recalled_when_his_time_is_over(world: World) -> None:
    one_waits_for(world, FIRST)
    (late,) = world.accept()
    world.walk(world.claim_one())
    world.sql("UPDATE runs SET not_after = now() - interval '1 s' WHERE order_id = :id", id=late)
    world.hurry()

    world.engine.claim()
    world.walk_sent()
    world.engine.claim()
    world.walk_sent()

    assert world.failures()[late]["code"] == "expired"
    assert calls_for(world, FIRST, late) == []
