"""How a run moves after a stage: a pure decision from what its steps answered."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from msgspec import structs

from app.runs.cohorts import Waiting
from app.runs.model import (
    COMPENSATION,
    DONE,
    FINAL,
    FRONT,
    PASSED,
    RETRY,
    STOPPED,
    Arrival,
    Cohort,
    Departure,
    Direction,
    Member,
    Outcome,
    Outcomes,
    RunState,
    Verdict,
    is_isolation_lane,
    isolation_lane,
    provider_lane,
)
from sagas.definition import Retry, Saga, Step

UNDO = Retry(attempts=12, first_s=0.5, cap_s=15.0)
LOOK_AGAIN_S = 86_400.0  # at what is paused and has no deadline; its end is what makes it due
_SPEAKS = (
    Verdict.POISONED,
    Verdict.REJECTED,
    Verdict.IN_DOUBT,
    Verdict.UNAVAILABLE,
    Verdict.NOT_YET,
    Verdict.UNDONE,
    Verdict.LEFT_OUT,
    Verdict.DONE,
)


def bits(steps: Sequence[int]) -> int:
    """A bit set of step numbers."""
    return sum(1 << step for step in steps)


def itinerary(saga: Saga, group: Sequence[Waiting], lane: str = FRONT) -> tuple[int, ...] | str:
    """
    The stages a new cohort passes: forward all from where its members stand, backward those that any needs.

    A stage with a limited step is passed alone, in its own lane: before it a cohort ends. What is taken apart after
    crashes stays apart there.

    :return: or the lane into which the group must go first
    """
    if group[0].direction is Direction.FORWARD:
        first = group[0].stage
        entrance = saga.entrances[first]
        if entrance and lane != entrance and not is_isolation_lane(lane):
            return entrance
        if entrance:
            return (first,)
        limited = (stage for stage in range(first, len(saga.forward)) if saga.entrances[stage])
        return tuple(range(first, next(limited, len(saga.forward))))
    needed = 0
    for run in group:
        needed |= run.touched & ~run.undone
    stages = tuple(i for i, steps in enumerate(saga.backward) if needed & bits(steps))
    return stages or (len(saga.backward) - 1,)


def due_for(member: Member, step: int, direction: Direction) -> bool:
    """Whether the member takes part in the step: not done yet, or touched and not undone yet."""
    if direction is Direction.FORWARD:
        return not member.done >> step & 1
    return bool(member.touched >> step & 1 and not member.undone >> step & 1)


def remembering(member: Member, step: int) -> Member:
    """The member as the step sees it: one that was here before, in whatever cohort, may have called somebody."""
    return (
        structs.replace(member, attempts=1) if member.touched >> step & 1 and not member.attempts else member
    )


def leaving_out(
    step: Step, cohort: Cohort, members: Sequence[Member], outcomes: Outcomes
) -> Mapping[int, Outcome]:
    """An optional step's outcomes: what is refused, raised, or would be given up, is left out."""
    left_out = {}
    for member in members:
        outcome = outcomes.get(member.run_id, DONE)
        refused = outcome.verdict in FINAL
        failed = outcome.verdict in (Verdict.UNAVAILABLE, Verdict.IN_DOUBT)
        tired = step.retry.gives_up(member.attempts + 1, _failing_s(member, cohort.seen_at))
        if refused or (failed and tired):
            left_out[member.run_id] = structs.replace(outcome, verdict=Verdict.LEFT_OUT)
    return {**outcomes, **left_out}


def decide(saga: Saga, cohort: Cohort, member: Member, outcomes: Mapping[int, Outcome]) -> Departure | None:
    """
    Whether and how the member leaves its cohort at the end of the current leg.

    :param outcomes: by step number, of the current stage; steps in which it took no part are missing
    :return: None if it travels on
    """
    decide_one = _forward if cohort.direction is Direction.FORWARD else _backward
    return decide_one(saga, cohort, member, outcomes)


def arrival(saga: Saga, cohort: Cohort) -> Arrival:
    """Where the cohort's last leg ends: at the saga's end, or before a stage that is passed in another cohort."""
    passed = bits([step for stage in cohort.itinerary[: cohort.leg + 1] for step in saga.forward[stage]])
    following = cohort.stage + 1
    if following == len(saga.forward):
        return Arrival(RunState.ENDED, cohort.stage, cohort.lane, passed)
    return Arrival(RunState.WAITING, following, saga.entrances[following] or saga.lane, passed)


def apart(saga: Saga, cohort: Cohort, member: Member, *, n: int | None) -> Departure:
    """
    How a member leaves a cohort in which processes die or hang.

    :param n: the isolation lane it goes into; None if it was alone, and so is to blame
    """
    steps = saga.travelled(cohort.direction)
    behind = bits([step for stage in cohort.itinerary[: cohort.leg] for step in steps[stage]])
    going_forward = cohort.direction is Direction.FORWARD
    here = steps[cohort.stage]
    failure = {**(member.failure or {}), "code": "crashes", "step": saga.steps[here[0]].name}
    return _departure(
        member,
        cohort,
        RunState.PARKED if n is None else RunState.WAITING,
        done=member.done | behind if going_forward else member.done,
        touched=member.touched | behind | bits(here) if going_forward else member.touched,
        undone=member.undone if going_forward else member.undone | behind & member.touched,
        attempts=member.attempts + 1,  # others may have been called for it already
        lane=RETRY if n is None else isolation_lane(n),
        failure=failure if n is None else None,
    )


def _forward(saga: Saga, cohort: Cohort, member: Member, outcomes: Mapping[int, Outcome]) -> Departure | None:
    behind = [step for stage in cohort.itinerary[: cohort.leg] for step in saga.forward[stage]]
    here = saga.forward[cohort.stage]
    finished = [step for step, outcome in outcomes.items() if outcome.verdict in PASSED]
    done = member.done | bits(behind) | bits(finished)
    not_called = [step for step, outcome in outcomes.items() if outcome.verdict is Verdict.NOT_YET]
    touched = member.touched | bits(behind) | bits(here) & ~bits(not_called)
    bad = {step: outcome for step, outcome in outcomes.items() if outcome.verdict not in PASSED}
    if not bad:
        return _arrived(saga, cohort, member, done=done, touched=touched) if cohort.at_last_leg else None

    step, worst = _worst(bad)
    unasked = cohort.stage == saga.pivot_stage and not touched >> saga.numbers[saga.pivot] & 1
    if worst.paused_lane:
        waiting = _held_back(saga, cohort, member, worst.paused_lane, done=done, touched=touched)
        return replace(waiting, unasked=unasked)
    entrance = saga.entrances[cohort.stage]
    somewhere = entrance or (provider_lane(worst.provider) if worst.provider else None)
    if worst.verdict is Verdict.NOT_YET and worst.code not in STOPPED:
        waiting = _departure(
            member,
            cohort,
            RunState.WAITING,
            done=done,
            touched=touched,
            lane=somewhere or saga.lane,
            due_in_s=worst.due_in_s,
        )
        return replace(waiting, unasked=unasked)
    retry, attempts = saga.steps[step].retry, member.attempts + 1
    failing_s = _failing_s(member, cohort.seen_at)
    refused = worst.verdict in FINAL or worst.code in STOPPED
    if not refused and not retry.gives_up(attempts, failing_s):
        wait_s = retry.wait_s(attempts, failing_s)
        if cohort.stage <= saga.bounded_stage:  # its end is not put off by waiting
            wait_s = max(0.0, min(wait_s, (member.not_after - cohort.seen_at).total_seconds()))
        return _departure(
            member,
            cohort,
            RunState.WAITING,
            done=done,
            touched=touched,
            attempts=attempts,
            lane=somewhere or RETRY,
            due_in_s=wait_s,
        )
    return _gave_up(saga, cohort, member, step, worst, done=done, touched=touched)


def _arrived(saga: Saga, cohort: Cohort, member: Member, *, done: int, touched: int) -> Departure:
    end = arrival(saga, cohort)
    arrived = _departure(member, cohort, end.state, done=done, touched=touched, lane=end.lane)
    return replace(arrived, stage=end.stage)


def _gave_up(
    saga: Saga, cohort: Cohort, member: Member, step: int, worst: Outcome, *, done: int, touched: int
) -> Departure:
    """Undone before the pivot; parked after it, when the step raised, or may have done what cannot be undone."""
    failure = _failure(saga, step, worst)
    past_pivot = cohort.stage > saga.pivot_stage
    without_effect = worst.verdict in (Verdict.REJECTED, Verdict.NOT_YET)
    perhaps_for_good = cohort.stage > saga.bounded_stage and not without_effect
    if past_pivot or worst.is_unforeseen or perhaps_for_good:
        if not worst.is_unforeseen:
            given_up = saga.steps[step]
            in_doubt = given_up.in_doubt_code if worst.verdict is Verdict.IN_DOUBT else None
            failure["code"] = in_doubt or given_up.give_up_code
        return _departure(member, cohort, RunState.PARKED, done=done, touched=touched, failure=failure)
    if touched & saga.compensable & ~member.undone:
        return Departure(
            id=member.run_id,
            state=RunState.WAITING,
            direction=Direction.BACKWARD,
            stage=0,
            done=done,
            touched=touched,
            undone=member.undone,
            lane=COMPENSATION,
            failure=failure,
        )
    ended = {**failure, "compensated": False}
    return _departure(member, cohort, RunState.ENDED, done=done, touched=touched, failure=ended)


def _backward(
    saga: Saga, cohort: Cohort, member: Member, outcomes: Mapping[int, Outcome]
) -> Departure | None:
    undone = member.undone
    for stage in cohort.itinerary[: cohort.leg]:
        undone |= bits(saga.backward[stage]) & member.touched
    undone |= bits([step for step, outcome in outcomes.items() if outcome.verdict is Verdict.UNDONE])
    bad = {step: outcome for step, outcome in outcomes.items() if outcome.verdict is not Verdict.UNDONE}
    if not bad:
        if member.touched & saga.compensable & ~undone and not cohort.at_last_leg:
            return None
        ended = {**(member.failure or {}), "compensated": True}
        return _departure(member, cohort, RunState.ENDED, undone=undone, failure=ended)

    step, worst = _worst(bad)
    if worst.paused_lane:
        return _held_back(saga, cohort, member, worst.paused_lane, undone=undone)
    if worst.verdict is Verdict.NOT_YET:
        return _departure(
            member, cohort, RunState.WAITING, undone=undone, lane=COMPENSATION, due_in_s=worst.due_in_s
        )
    attempts, failing_s = member.attempts + 1, _failing_s(member, cohort.seen_at)
    if worst.verdict in FINAL or UNDO.gives_up(attempts, failing_s):
        failure = {
            **(member.failure or {}),
            "parked": f"undo-{saga.steps[step].name}",
            "parked_code": worst.code,
        }
        return _departure(member, cohort, RunState.PARKED, undone=undone, failure=failure)
    return _departure(
        member,
        cohort,
        RunState.WAITING,
        undone=undone,
        attempts=attempts,
        lane=provider_lane(worst.provider) if worst.provider else COMPENSATION,
        due_in_s=UNDO.wait_s(attempts, failing_s),
    )


def _held_back(
    saga: Saga,
    cohort: Cohort,
    member: Member,
    lane: str,
    *,
    done: int | None = None,
    touched: int | None = None,
    undone: int | None = None,
) -> Departure:
    """It waits for an operator; before the pivot until its time is over, when it is given up."""
    may_end = cohort.direction is Direction.FORWARD and cohort.stage <= saga.bounded_stage
    waiting = _departure(
        member,
        cohort,
        RunState.WAITING,
        done=done,
        touched=touched,
        undone=undone,
        attempts=member.attempts,
        lane=lane,
        due_in_s=LOOK_AGAIN_S,
    )
    return replace(waiting, due_at=member.not_after if may_end else None, failing_since=None)


def _departure(
    member: Member,
    cohort: Cohort,
    state: RunState,
    *,
    done: int | None = None,
    touched: int | None = None,
    undone: int | None = None,
    attempts: int = 0,
    lane: str = RETRY,
    due_in_s: float = 0.0,
    failure: Mapping[str, object] | None = None,
) -> Departure:
    return Departure(
        id=member.run_id,
        state=state,
        direction=cohort.direction,
        stage=cohort.stage if cohort.direction is Direction.FORWARD else 0,
        done=member.done if done is None else done,
        touched=member.touched if touched is None else touched,
        undone=member.undone if undone is None else undone,
        attempts=attempts,
        lane=lane,
        due_in_s=due_in_s,
        failure=failure,
        failing_since=(member.failing_since or cohort.seen_at) if attempts else None,
    )


def _failing_s(member: Member, now: datetime) -> float:
    return (now - member.failing_since).total_seconds() if member.failing_since else 0.0


def _worst(bad: Mapping[int, Outcome]) -> tuple[int, Outcome]:
    """Poison speaks for the order, then a refusal, then doubt, then unavailability, and last that it is early."""
    return min(bad.items(), key=lambda item: (_SPEAKS.index(item[1].verdict), item[0]))


def _failure(saga: Saga, step: int, outcome: Outcome) -> dict[str, object]:
    """A refusal's detail is part of it: what the customer is offered instead."""
    offered = outcome.detail if outcome.verdict is Verdict.REJECTED and outcome.detail else {}
    return {**offered, "code": outcome.code or outcome.verdict.name.lower(), "step": saga.steps[step].name}
