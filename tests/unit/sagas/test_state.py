"""How a run moves after a stage, as tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from app.runs.cohorts import Waiting
from app.runs.model import Cohort, Direction, Member, Outcome, RunState, Verdict
from sagas import state
from sagas.definition import Retry
from sagas.fulfill_order import FULFILL_ORDER as SAGA

VALIDATE, RESERVE, AUTHORIZE, PLAN, PLACE, DISPATCH, CONFIRM, CAPTURE = range(8)
DONE, UNDONE = Outcome(Verdict.DONE), Outcome(Verdict.UNDONE)
REFUSED, AWAY, DOUBT = (
    Outcome(Verdict.REJECTED, "refused"),
    Outcome(Verdict.UNAVAILABLE, "away", provider="benefit"),
    Outcome(Verdict.IN_DOUBT, "in-doubt", provider="benefit"),
)
WAIT, END, PARK = RunState.WAITING, RunState.ENDED, RunState.PARKED
FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD
FORWARD_STAGES = tuple(range(len(SAGA.forward)))
BACKWARD_STAGES = tuple(range(len(SAGA.backward)))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MEMBER = Member(
    run_id=1,
    order_id="order",
    tenant_id="default",
    done=0,
    touched=0,
    undone=0,
    attempts=0,
    generation=0,
    not_after=NOW + timedelta(hours=1),
    failure=None,
)


def bits(*steps: int) -> int:
    return sum(1 << step for step in steps)


def cohort(direction: Direction, leg: int, itinerary: tuple[int, ...] | None = None) -> Cohort:
    stages = itinerary or (FORWARD_STAGES if direction is FORWARD else BACKWARD_STAGES)
    return Cohort(
        id=1,
        epoch=1,
        saga=SAGA.name,
        version=1,
        direction=direction,
        lane="front",
        itinerary=stages,
        leg=leg,
        members=(1,),
        seen_at=NOW,
    )


def test_the_steps_are_numbered_as_this_table_says() -> None:
    assert [SAGA.numbers[step.name] for step in SAGA.steps] == list(range(8))
    assert SAGA.forward == (
        (VALIDATE,),
        (RESERVE, AUTHORIZE),
        (PLAN,),
        (PLACE,),
        (DISPATCH,),
        (CONFIRM,),
        (CAPTURE,),
    )
    assert SAGA.backward == ((DISPATCH,), (PLACE,), (AUTHORIZE,), (RESERVE,))


@pytest.mark.parametrize(
    ("leg", "outcomes"),
    [
        (0, {VALIDATE: DONE}),
        (1, {RESERVE: DONE, AUTHORIZE: DONE}),
        (1, {RESERVE: DONE}),  # the other was done before
        (1, {}),
        (4, {DISPATCH: DONE}),
    ],
)
def test_whoever_has_done_all_travels_on(leg: int, outcomes: dict[int, Outcome]) -> None:
    assert state.decide(SAGA, cohort(FORWARD, leg), MEMBER, outcomes) is None


FORWARD_TABLE: list[tuple[str, int, dict[int, Outcome], dict[str, Any]]] = [
    (
        "the last step ends it",
        6,
        {CAPTURE: DONE},
        {"state": END, "failure": None, "done": bits(*range(8)), "touched": bits(*range(8))},
    ),
    (
        "refused with nothing to undo",
        0,
        {VALIDATE: REFUSED},
        {"state": END, "failure": {"code": "refused", "step": "validate-order", "compensated": False}},
    ),
    (
        "refused beside one who did it",
        1,
        {RESERVE: DONE, AUTHORIZE: REFUSED},
        {
            "state": WAIT,
            "direction": BACKWARD,
            "stage": 0,
            "lane": "compensation",
            "done": bits(VALIDATE, RESERVE),
            "touched": bits(VALIDATE, RESERVE, AUTHORIZE),
            "failure": {"code": "refused", "step": "authorize-payment"},
            "attempts": 0,
        },
    ),
    (
        "a refusal outweighs doubt and absence",
        1,
        {RESERVE: REFUSED, AUTHORIZE: DOUBT},
        {"state": WAIT, "direction": BACKWARD, "failure": {"code": "refused", "step": "reserve-capacity"}},
    ),
    (
        "away",
        1,
        {RESERVE: DONE, AUTHORIZE: AWAY},
        {
            "state": WAIT,
            "direction": FORWARD,
            "stage": 1,
            "lane": "provider:benefit",
            "attempts": 1,
            "done": bits(VALIDATE, RESERVE),
            "failure": None,
        },
    ),
    (
        "doubt outweighs absence",
        1,
        {RESERVE: Outcome(Verdict.UNAVAILABLE, "lost"), AUTHORIZE: DOUBT},
        {"state": WAIT, "lane": "provider:benefit", "attempts": 1},
    ),
    (
        "away without a name",
        1,
        {RESERVE: Outcome(Verdict.UNAVAILABLE, "lost"), AUTHORIZE: DONE},
        {"state": WAIT, "lane": "retry", "attempts": 1, "done": bits(VALIDATE, AUTHORIZE)},
    ),
    (
        "refused at the pivot",
        4,
        {DISPATCH: REFUSED},
        {"state": WAIT, "direction": BACKWARD, "touched": bits(0, 1, 2, 3, 4, 5)},
    ),
    (
        "refused past the pivot",
        6,
        {CAPTURE: REFUSED},
        {"state": PARK, "direction": FORWARD, "failure": {"code": "money-owed", "step": "capture-payment"}},
    ),
    (
        "away past the pivot",
        6,
        {CAPTURE: AWAY},
        {"state": WAIT, "direction": FORWARD, "stage": 6, "attempts": 1},
    ),
]


@pytest.mark.parametrize(
    ("leg", "outcomes", "expected"), [row[1:] for row in FORWARD_TABLE], ids=[row[0] for row in FORWARD_TABLE]
)
def test_going_forward(leg: int, outcomes: dict[int, Outcome], expected: dict[str, Any]) -> None:
    departure = state.decide(SAGA, cohort(FORWARD, leg), MEMBER, outcomes)

    assert departure
    assert {name: getattr(departure, name) for name in expected} == expected


@pytest.mark.parametrize(("outcome", "code"), [(AWAY, "away"), (DOUBT, "in-doubt")])
@pytest.mark.parametrize("step", [AUTHORIZE, PLACE, DISPATCH, CONFIRM, CAPTURE])
def test_giving_up_after_the_last_attempt(step: int, outcome: Outcome, code: str) -> None:
    last = SAGA.steps[step].retry.attempts
    stage = next(n for n, steps in enumerate(SAGA.forward) if step in steps)
    here = cohort(FORWARD, 0, FORWARD_STAGES[stage:])
    before = replace(MEMBER, done=bits(*range(step)), touched=bits(*range(step)), attempts=last - 2)

    again = state.decide(SAGA, here, before, {step: outcome})
    given_up = state.decide(SAGA, here, replace(before, attempts=last - 1), {step: outcome})

    assert again
    assert given_up
    assert (again.state, again.direction, again.attempts) == (WAIT, FORWARD, last - 1)
    if step > DISPATCH:
        assert (given_up.state, given_up.failure) == (
            PARK,
            {"code": SAGA.steps[step].give_up_code, "step": SAGA.steps[step].name},
        )
    else:
        assert (given_up.state, given_up.direction) == (WAIT, BACKWARD)
        assert given_up.failure == {"code": code, "step": SAGA.steps[step].name}


TOUCHED = replace(
    MEMBER, touched=bits(0, 1, 2, 3, 4), done=bits(0, 1, 2, 3), failure={"code": "refused", "step": "place"}
)


@pytest.mark.parametrize(
    ("leg", "outcomes", "undone", "expected"),
    [
        (0, {}, 0, None),  # never touched: nothing to recall
        (1, {PLACE: UNDONE}, 0, None),
        (2, {AUTHORIZE: UNDONE}, 0, None),
        (
            3,
            {RESERVE: UNDONE},
            bits(PLACE, AUTHORIZE),
            {"state": END, "undone": bits(PLACE, AUTHORIZE, RESERVE)},
        ),
        (1, {PLACE: UNDONE}, bits(AUTHORIZE, RESERVE), {"state": END}),  # the rest was undone before
        (1, {PLACE: AWAY}, 0, {"state": WAIT, "lane": "provider:benefit", "undone": 0, "attempts": 1}),
        (2, {AUTHORIZE: DOUBT}, 0, {"state": WAIT, "lane": "provider:benefit", "undone": bits(PLACE)}),
        (2, {AUTHORIZE: Outcome(Verdict.UNAVAILABLE)}, 0, {"state": WAIT, "lane": "compensation"}),
        (2, {AUTHORIZE: REFUSED}, 0, {"state": PARK, "undone": bits(PLACE)}),
    ],
)
def test_going_backward(
    leg: int, outcomes: dict[int, Outcome], undone: int, expected: dict[str, Any] | None
) -> None:
    departure = state.decide(SAGA, cohort(BACKWARD, leg), replace(TOUCHED, undone=undone), outcomes)

    if expected is None:
        assert departure is None
        return
    assert departure
    assert {name: getattr(departure, name) for name in expected} == expected
    assert departure.direction is BACKWARD


def test_undone_at_last_says_so_and_why() -> None:
    departure = state.decide(SAGA, cohort(BACKWARD, 3), TOUCHED, {RESERVE: UNDONE})

    assert departure
    assert departure.failure == {"code": "refused", "step": "place", "compensated": True}
    assert departure.ends_in_failure


def test_undoing_is_given_up_after_its_last_attempt() -> None:
    tired = replace(TOUCHED, attempts=state.UNDO.attempts - 1)

    departure = state.decide(SAGA, cohort(BACKWARD, 0, (1, 2, 3)), tired, {PLACE: AWAY})

    assert departure
    assert departure.state is PARK
    assert departure.failure == {
        "code": "refused",
        "step": "place",
        "parked": "undo-place-with-restaurant",
        "parked_code": "away",
    }


def waiting(direction: Direction, *, stage: int = 0, touched: int = 0, undone: int = 0) -> Waiting:
    return Waiting(1, SAGA.name, 1, direction, stage, touched, undone)


@pytest.mark.parametrize(
    ("group", "stages"),
    [
        ([waiting(FORWARD)], (0, 1, 2, 3, 4, 5, 6)),
        ([waiting(FORWARD, stage=4)], (4, 5, 6)),
        ([waiting(FORWARD, stage=6)], (6,)),
        ([waiting(BACKWARD, touched=bits(0, RESERVE))], (3,)),
        ([waiting(BACKWARD, touched=bits(0, RESERVE, AUTHORIZE))], (2, 3)),
        ([waiting(BACKWARD, touched=bits(*range(6)))], (0, 1, 2, 3)),
        ([waiting(BACKWARD, touched=bits(*range(6)), undone=bits(DISPATCH, AUTHORIZE))], (1, 3)),
        ([waiting(BACKWARD, touched=bits(RESERVE)), waiting(BACKWARD, touched=bits(PLACE))], (1, 3)),
        ([waiting(BACKWARD, touched=bits(0))], (3,)),  # nothing to undo: it is closed by an empty stage
    ],
)
def test_the_itinerary_passes_what_any_member_needs(group: list[Waiting], stages: tuple[int, ...]) -> None:
    assert state.itinerary(SAGA, group) == stages


@pytest.mark.parametrize(
    ("direction", "done", "touched", "undone", "due"),
    [
        (FORWARD, 0, 0, 0, True),
        (FORWARD, 0, bits(PLACE), 0, True),
        (FORWARD, bits(PLACE), bits(PLACE), 0, False),
        (BACKWARD, 0, 0, 0, False),
        (BACKWARD, 0, bits(PLACE), 0, True),
        (BACKWARD, bits(PLACE), bits(PLACE), 0, True),
        (BACKWARD, bits(PLACE), bits(PLACE), bits(PLACE), False),
    ],
)
def test_a_step_is_due_once(direction: Direction, done: int, touched: int, undone: int, due: bool) -> None:
    assert state.due_for(replace(MEMBER, done=done, touched=touched, undone=undone), PLACE, direction) is due


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [
        (1, 0.0, 0.0),
        (1, 1.0, 0.5),
        (2, 1.0, 1.0),
        (3, 0.5, 1.0),
        (5, 1.0, 8.0),
        (6, 1.0, 8.0),
        (1000, 0.5, 4.0),
    ],
)
def test_backoff_doubles_up_to_its_cap(attempt: int, chance: float, seconds: float) -> None:
    assert Retry(first_s=0.5, cap_s=8.0).backoff_s(attempt, chance=chance) == seconds


@pytest.mark.parametrize("attempt", range(1, 45))
def test_backoff_by_chance_stays_within_its_bounds(attempt: int) -> None:
    retry = SAGA.steps[CAPTURE].retry

    assert (
        retry.backoff_s(attempt, chance=0.0)
        <= retry.backoff_s(attempt)
        <= retry.backoff_s(attempt, chance=1.0)
    )
    assert retry.backoff_s(attempt) <= retry.cap_s
