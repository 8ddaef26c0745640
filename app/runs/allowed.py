"""
What an operator may do to a run, decided purely: from how it stands to how it stands afterwards.

             waiting            travelling     parked                 ended
retry        due now            -              waits at its stage     -
skip         forward only       -              forward only           -
redrive      -                  -              forward, from a step   -
compensate   before the pivot   -              before the pivot       -
cancel       before its gate    sets a flag    before its gate        -
terminate    not yet promised   -              not yet promised       -

Of a follow-up, a run on an order that was promised before, "promised" means that its own pivot has happened; one
that has left its order without a partner may be ended even then, so that another run can take the order up.
A travelling run is moved by its cohort only; it waits again, or ends, within seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from app import errors
from app.orders.model import Status
from app.runs.model import COMPENSATION, RETRY, Direction, RunState, isolation_lane


class Act(StrEnum):
    RETRY = "retry"
    SKIP = "skip"
    REDRIVE = "redrive"
    COMPENSATE = "compensate"
    CANCEL = "cancel"
    TERMINATE = "terminate"


NAMING_A_STEP = frozenset({Act.SKIP, Act.REDRIVE})
_PARKING = ("parked", "parked_code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """
    A run as an operator finds it.

    :param stage: where it stands, of a travelling run where its cohort is; counts in its direction
    :param seen_at: by the database's clock
    """

    run_id: int
    order_id: str
    tenant_id: str
    saga: str
    version: int
    state: RunState
    direction: Direction
    stage: int
    attempts: int
    gated: bool
    cancel_requested: bool
    done: int
    touched: int
    undone: int
    lane: str
    due_at: datetime
    not_after: datetime
    failure: Mapping[str, Any] | None
    order_status: Status
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """
    A saga in numbers.

    :param names: of its steps, by number
    :param stages: bit set of the steps of each stage, forward
    :param compensable: bit set of the steps that can be undone
    :param uses: by step, bit set of the earlier steps on whose outcome it builds
    :param unskippable: by step, why it cannot be left out
    :param is_follow_up: whether its runs act on orders that were promised before
    :param abandonable: whether a run may be ended as it is past its pivot too
    """

    names: tuple[str, ...]
    stages: tuple[int, ...]
    pivot_stage: int
    compensable: int
    uses: tuple[int, ...]
    unskippable: Mapping[int, str]
    is_follow_up: bool = False
    abandonable: bool = False

    def stage_of(self, step: int) -> int:
        return next(n for n, steps in enumerate(self.stages) if steps >> step & 1)

    def first_of(self, stage: int) -> str:
        """The name under which a stage is told: its first step's."""
        return self.names[(self.stages[stage] & -self.stages[stage]).bit_length() - 1]


class RunTravelling(errors.Conflict):
    """The run is under way with a cohort, which alone moves it."""

    code = "run-travelling"


class RunEnded(errors.Conflict):
    """The run has ended."""

    code = "run-ended"


class RunNotParked(errors.Conflict):
    """The run is not parked."""

    code = "run-not-parked"


class BeingUndone(errors.Conflict):
    """The run is being undone."""

    code = "run-being-undone"


class PastPivot(errors.Conflict):
    """The run only goes forward now."""

    code = "past-pivot"


class StepNotHere(errors.Conflict):
    """The run does not stand at this step."""

    code = "step-not-here"


class StepNeeded(errors.Conflict):
    """The step cannot be left out."""

    code = "step-needed"


class StepBuiltUpon(errors.Conflict):
    """A later step has been called with what this step had found."""

    code = "step-built-upon"


def retry(run: Subject, shape: Shape) -> Subject:
    """
    Due now; a parked run goes on where it stopped, with all its attempts before it.

    :raises RunTravelling, RunEnded:
    """
    _at_rest(run)
    if run.state is RunState.WAITING:
        return replace(run, due_at=min(run.due_at, run.seen_at))
    if run.direction is Direction.FORWARD:
        return _going_on(run)
    failure = {name: value for name, value in (run.failure or {}).items() if name not in _PARKING}
    return _waiting(run, lane=COMPENSATION, failure=failure)


def skip(run: Subject, shape: Shape, step: int) -> Subject:
    """
    Go on as if the step had been done. What it may have done stays to be undone if the run fails later.

    :raises RunTravelling, RunEnded, BeingUndone, StepNotHere, StepNeeded:
    """
    _forward_at_rest(run)
    left = shape.stages[run.stage] & ~run.done
    if not left >> step & 1:
        raise StepNotHere(
            detail=f"It stands at {shape.first_of(run.stage)}; only what is left there is skipped."
        )
    if step in shape.unskippable:
        raise StepNeeded(detail=f"{shape.names[step]}: {shape.unskippable[step]}.")
    return replace(_going_on(run), done=run.done | 1 << step)


def redrive(run: Subject, shape: Shape, step: int) -> Subject:
    """
    Do a step, and all that follow it, again: by the same keys, so that what stands is found and not done twice.

    :raises RunTravelling, RunEnded, RunNotParked, BeingUndone, PastPivot, StepNotHere, StepBuiltUpon:
    """
    _forward_at_rest(run)
    if run.state is not RunState.PARKED:
        raise RunNotParked(detail="It waits for its next attempt: retry it, or wait until it is parked.")
    stage = shape.stage_of(step)
    if stage > run.stage:
        raise StepNotHere(
            detail=f"It has come to {shape.first_of(run.stage)} only; skip what shall be left out."
        )
    if stage <= shape.pivot_stage and _promised(run, shape):
        raise PastPivot(detail=f"It may be re-driven from a step after {shape.first_of(shape.pivot_stage)}.")
    again = sum(shape.stages[stage:])
    for later, uses in enumerate(shape.uses):
        if run.touched >> later & 1 and uses & again:
            raise StepBuiltUpon(
                detail=f"{shape.names[later]} may have acted on it: re-drive from there, or undo."
            )
    return replace(_going_on(run), stage=stage, done=run.done & ~again)


def compensate(run: Subject, shape: Shape) -> Subject:
    """
    Undo all that the run may have done; its order fails, with the reason for which it was parked.

    :raises RunTravelling, RunEnded, BeingUndone, PastPivot:
    """
    _forward_at_rest(run)
    for_good = not shape.stages[shape.pivot_stage] & shape.compensable
    if _promised(run, shape) or (run.gated and (for_good or run.state is RunState.WAITING)):
        raise PastPivot(
            detail=f"{shape.first_of(shape.pivot_stage)} has been called, or the promise is given."
        )
    known = run.failure if run.state is RunState.PARKED else None
    return _backward(run, shape, known or _reason("undone-by-operator", run, shape))


def cancel(run: Subject, shape: Shape) -> Subject:
    """
    Undo it as the client wishes; of a travelling run a flag, which its pivot's gate heeds. Twice is once.

    :raises RunEnded, BeingUndone, PastPivot:
    """
    _not_ended(run)
    _not_undone(run)
    if run.gated or _promised(run, shape):
        raise PastPivot(detail=f"{shape.first_of(shape.pivot_stage)} has been called.")
    asked = replace(run, cancel_requested=True)
    if run.state is RunState.TRAVELLING:
        return asked
    return _backward(asked, shape, _reason("cancelled", run, shape))


def terminate(run: Subject, shape: Shape) -> Subject:
    """
    End it as it is: what it has done elsewhere stands, and nobody undoes it any more.

    :raises RunTravelling, RunEnded, PastPivot:
    """
    _at_rest(run)
    promised = _promised(run, shape) if shape.is_follow_up else run.order_status is not Status.PENDING
    if promised and not shape.abandonable:
        raise PastPivot(detail=f"The order is {run.order_status}: skip the step that cannot be done.")
    failure = {**_reason("terminated", run, shape), "compensated": False}
    return replace(run, state=RunState.ENDED, failure=failure)


def position(run: Subject, shape: Shape) -> int | None:
    """The number of the step that is next, or is being done; None when the run has ended."""
    if run.state is RunState.ENDED:
        return None
    if run.direction is Direction.BACKWARD:
        pending = run.touched & ~run.undone & shape.compensable
        return pending.bit_length() - 1 if pending else None
    left = shape.stages[run.stage] & ~run.done or shape.stages[run.stage]
    return (left & -left).bit_length() - 1


def _at_rest(run: Subject) -> None:
    _not_ended(run)
    if run.state is RunState.TRAVELLING:
        raise RunTravelling(detail="It waits again, ends or is parked within seconds: look again.")


def _forward_at_rest(run: Subject) -> None:
    _at_rest(run)
    _not_undone(run)


def _not_ended(run: Subject) -> None:
    if run.state is RunState.ENDED:
        raise RunEnded(detail=f"Its order is {run.order_status}.")


def _not_undone(run: Subject) -> None:
    if run.direction is Direction.BACKWARD:
        raise BeingUndone(
            detail="What is undone cannot be done again by the same keys; its undoing can be retried."
        )


def _promised(run: Subject, shape: Shape) -> bool:
    """Whether the pivot has happened."""
    return run.stage > shape.pivot_stage


def _going_on(run: Subject) -> Subject:
    crashed = (run.failure or {}).get("code") == "crashes"  # apart, so that it takes nobody down with it
    return _waiting(run, lane=isolation_lane(0) if crashed else RETRY, failure=None)


def _waiting(run: Subject, *, lane: str, failure: Mapping[str, Any] | None) -> Subject:
    return replace(
        run, state=RunState.WAITING, attempts=0, lane=lane, due_at=run.seen_at, failure=failure or None
    )


def _backward(run: Subject, shape: Shape, failure: Mapping[str, Any]) -> Subject:
    if not run.touched & shape.compensable & ~run.undone:
        return replace(run, state=RunState.ENDED, failure={**failure, "compensated": False})
    undoing = _waiting(run, lane=COMPENSATION, failure=failure)
    return replace(undoing, direction=Direction.BACKWARD, stage=0)


def _reason(code: str, run: Subject, shape: Shape) -> dict[str, Any]:
    step = position(run, shape)
    return {"code": code, "step": None if step is None else shape.names[step]}
