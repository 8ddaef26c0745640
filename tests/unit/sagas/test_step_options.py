"""What a step's options make of failures, and which definitions are refused."""

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs
from saga_on_paper import NOW, cohort, member, saga, step

from app.runs.cohorts import Waiting
from app.runs.model import DONE, Direction, Outcome, RunState, Verdict
from sagas import state
from sagas.definition import BadDefinition, Registry, Retry, Saga, Step, parallel

AWAY = Outcome(Verdict.UNAVAILABLE, "away", provider="p")
DOUBT = Outcome(Verdict.IN_DOUBT, "in-doubt", provider="p")
REFUSED = Outcome(Verdict.REJECTED, "refused")
POISON = Outcome(Verdict.POISONED, "raised-ValueError")
EARLY = Outcome(Verdict.NOT_YET, "not-yet", due_in_s=60.0)
PATIENT = Retry(attempts=1000, first_s=8.0, cap_s=8.0, total_s=30.0)


@pytest.mark.parametrize(
    ("retry", "attempts", "failing_s", "gives_up"),
    [
        (Retry(attempts=3), 2, 1e9, False),
        (Retry(attempts=3), 3, 0.0, True),
        (Retry(attempts=3, total_s=10.0), 2, 9.9, False),
        (Retry(attempts=3, total_s=10.0), 2, 10.0, True),
        (Retry(attempts=3, total_s=10.0), 3, 0.0, True),
    ],
)
def test_retrying_ends_with_its_attempts_or_its_time(
    retry: Retry, attempts: int, failing_s: float, gives_up: bool
) -> None:
    assert retry.gives_up(attempts, failing_s) is gives_up


def test_the_first_failure_is_remembered_and_the_next_ones_keep_it() -> None:
    s = saga(step("first", retry=PATIENT))
    before = NOW - timedelta(seconds=20)

    first = state.decide(s, cohort((0, 1)), member(), {0: AWAY})
    later = state.decide(s, cohort((0, 1)), member(attempts=1, failing_since=before), {0: AWAY})

    assert first
    assert later
    assert (first.failing_since, later.failing_since) == (NOW, before)


def test_after_its_total_time_a_step_is_given_up() -> None:
    s = saga(step("first", retry=PATIENT))
    failing = member(attempts=1, failing_since=NOW - timedelta(seconds=30))

    departure = state.decide(s, cohort((0, 1)), failing, {0: AWAY})

    assert departure
    assert (departure.direction, departure.failure) == (
        Direction.BACKWARD,
        {"code": "away", "step": "first"},
    )


def test_the_last_try_comes_when_the_total_time_is_over() -> None:
    s = saga(step("first", retry=replace(PATIENT, first_s=1e6, cap_s=1e6)))
    failing = member(attempts=1, failing_since=NOW - timedelta(seconds=29))

    departure = state.decide(s, cohort((0, 1)), failing, {0: AWAY})

    assert departure
    assert departure.state is RunState.WAITING
    assert departure.due_in_s <= 1.0


@pytest.mark.parametrize(("stage", "bounded"), [(0, True), (1, True), (2, False)])
def test_up_to_the_pivot_no_wait_goes_beyond_the_orders_time(stage: int, bounded: bool) -> None:
    slow = Retry(first_s=1e9, cap_s=1e9)
    s = saga(step("first", retry=slow), step("pivot", retry=slow), step("last", retry=slow))

    departure = state.decide(s, cohort((stage,)), member(not_after=NOW + timedelta(seconds=5)), {stage: AWAY})

    assert departure
    assert (departure.due_in_s <= 5.0) is bounded


OPTIONAL = step("extra", optional=True, retry=Retry(attempts=3, total_s=60.0))


@pytest.mark.parametrize(
    ("outcome", "attempts", "since_s", "left_out"),
    [
        (REFUSED, 0, None, True),
        (POISON, 0, None, True),
        (AWAY, 0, None, False),
        (AWAY, 1, 5, False),
        (AWAY, 2, 5, True),
        (DOUBT, 2, 5, True),
        (AWAY, 1, 60, True),
        (EARLY, 5, 500, False),
        (DONE, 5, 500, False),
    ],
)
def test_an_optional_step_is_left_out_when_another_would_end_the_order(
    outcome: Outcome, attempts: int, since_s: int | None, left_out: bool
) -> None:
    since = None if since_s is None else NOW - timedelta(seconds=since_s)
    who = member(attempts=attempts, failing_since=since)

    told = state.leaving_out(OPTIONAL, cohort((0, 1)), [who], {1: outcome})

    assert told[1] == (structs.replace(outcome, verdict=Verdict.LEFT_OUT) if left_out else outcome)


def test_who_was_refused_before_the_step_is_not_carried_on_by_it() -> None:
    assert state.leaving_out(OPTIONAL, cohort((0, 1)), [], {1: REFUSED}) == {1: REFUSED}


LEFT_OUT = Outcome(Verdict.LEFT_OUT, "refused")


def test_what_is_left_out_holds_nobody_up_and_stays_to_be_undone() -> None:
    s = saga(OPTIONAL)

    travels_on = state.decide(s, cohort((0, 1)), member(), {0: LEFT_OUT})
    fails_later = state.decide(s, cohort((0, 1), leg=1), member(), {1: REFUSED})

    assert travels_on is None
    assert fails_later
    assert fails_later.direction is Direction.BACKWARD
    assert fails_later.touched == 0b11


def test_beside_one_that_comes_again_it_is_not_tried_again() -> None:
    s = saga(parallel(OPTIONAL, step("needed")))

    departure = state.decide(s, cohort((0, 1)), member(), {0: LEFT_OUT, 1: AWAY})

    assert departure
    assert (departure.stage, departure.done) == (0, 0b01)


def refusal(*stages: Step, pivot: str = "pivot") -> str:
    with pytest.raises(BadDefinition) as refused:
        saga(*stages, pivot=pivot)
    return str(refused.value)


def test_a_definition_is_refused_with_the_steps_name_and_the_reason() -> None:
    extra = step("extra", optional=True)

    assert "pivot cannot be optional: it is the pivot" in refusal(step("pivot", optional=True))
    assert "extra cannot be optional: user builds on it" in refusal(extra, step("user", uses=("extra",)))
    assert "because" in refusal(replace(extra, unskippable="because"))
    assert "at least 1" in refusal(step("narrow", concurrency=0))


def test_side_by_side_only_one_step_may_be_limited() -> None:
    with pytest.raises(BadDefinition):
        saga(parallel(step("one", concurrency=1), step("two", concurrency=2)))


def test_a_step_has_one_limit_in_all_sagas() -> None:
    sagas = [replace(saga(step("narrow", concurrency=n)), version=n) for n in (1, 2)]

    with pytest.raises(BadDefinition):
        Registry(*sagas)
    assert Registry(sagas[1]).concurrency == {"narrow": 2}


NARROW = saga(step("first"), step("narrow", concurrency=2), step("third"))
FIRST_NARROW = saga(step("narrow", concurrency=2))


def waiting(stage: int) -> list[Waiting]:
    return [Waiting(1, "made-up", 1, Direction.FORWARD, stage, 0, 0)]


@pytest.mark.parametrize(
    ("definition", "stage", "lane", "expected"),
    [
        (NARROW, 0, "front", (0,)),
        (NARROW, 1, "step:narrow", (1,)),
        (NARROW, 1, "retry", "step:narrow"),
        (NARROW, 1, "provider:p", "step:narrow"),
        (NARROW, 1, "isolation:3", (1,)),
        (NARROW, 2, "front", (2, 3)),
        (FIRST_NARROW, 0, "front", "step:narrow"),
    ],
)
def test_a_limited_step_is_passed_alone_and_in_its_lane(
    definition: Saga, stage: int, lane: str, expected: tuple[int, ...] | str
) -> None:
    assert state.itinerary(definition, waiting(stage), lane) == expected


@pytest.mark.parametrize(
    ("stage", "outcome", "lane", "next_stage"),
    [
        (0, DONE, "step:narrow", 1),
        (1, DONE, "front", 2),
        (1, AWAY, "step:narrow", 1),
        (1, EARLY, "step:narrow", 1),
        (2, AWAY, "provider:p", 2),
    ],
)
def test_a_run_waits_before_a_limited_step_in_its_lane(
    stage: int, outcome: Outcome, lane: str, next_stage: int
) -> None:
    departure = state.decide(NARROW, cohort((stage,)), member(), {stage: outcome})

    assert departure
    assert (departure.state, departure.lane, departure.stage) == (RunState.WAITING, lane, next_stage)


def test_what_is_put_off_has_touched_nothing() -> None:
    s = saga(parallel(step("first"), step("second")))

    departure = state.decide(s, cohort((0, 1)), member(), {0: DONE, 1: EARLY})

    assert departure
    assert (departure.lane, departure.touched) == ("front", 0b01)


def test_who_is_put_off_because_of_a_provider_waits_in_his_lane() -> None:
    silent = structs.replace(EARLY, provider="p", due_in_s=0.0)

    departure = state.decide(saga(), cohort((0,)), member(), {0: silent})

    assert departure
    assert (departure.lane, departure.attempts, departure.touched) == ("provider:p", 0, 0)


def test_who_is_stopped_before_the_call_has_only_the_steps_before_to_undo() -> None:
    s = saga(step("first"), step("second"))

    departure = state.decide(s, cohort((0, 1, 2), leg=1), member(), {1: Outcome(Verdict.NOT_YET, "expired")})

    assert departure
    assert (departure.direction, departure.touched) == (Direction.BACKWARD, 0b01)
    assert departure.failure == {"code": "expired", "step": "second"}
