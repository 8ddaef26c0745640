"""What is told of one run: where it stands, what happened to it, and what happens next and when."""

from collections.abc import Sequence
from functools import cache, partial

from sqlalchemy import Connection

from app.routing import decisions
from app.runs import allowed, search, tracing
from app.runs.allowed import Shape, Subject
from app.runs.model import PAUSED, Direction, RunState, is_paused_lane
from app.runs.views import Next, RunStory, RunTrace
from sagas.definition import Registry, Saga
from sagas.state import UNDO, bits


def story(connection: Connection, sagas: Registry, run_id: int) -> RunStory:
    """Everything about a run. :raises RunNotFound:"""
    run, summary = search.one(connection, run_id, step_of=partial(step_of, sagas))
    saga = sagas.get(run.saga, run.version)
    names = shape(saga).names
    return RunStory(
        run=summary,
        failure=run.failure,
        done=_named(run.done, names),
        may_stand=_named((run.touched | run.done) & saga.compensable & ~run.undone, names),
        undone=_named(run.undone & run.touched, names),
        attempts=search.attempts(connection, run_id, names),
        acts=search.past_acts(connection, run_id),
        next=next_of(saga, run),
        routing=decisions.latest(connection, run_id),
    )


def trace(connection: Connection, sagas: Registry, run_id: int) -> RunTrace:
    """A run on a line of time. :raises RunNotFound:"""
    run, summary = search.one(connection, run_id, step_of=partial(step_of, sagas))
    saga = sagas.get(run.saga, run.version)
    done = search.past_acts(connection, run_id)
    return RunTrace(
        run=summary,
        failure=run.failure,
        now=run.seen_at,
        spans=tracing.spans(
            run,
            search.attempts(connection, run_id, shape(saga).names),
            search.journeys(connection, run_id),
            done,
        ),
        acts=done,
        next=next_of(saga, run),
    )


def step_of(sagas: Registry, run: Subject) -> str | None:
    """The step that is next, or is being done; None when the run has ended."""
    its_shape = shape(sagas.get(run.saga, run.version))
    step = allowed.position(run, its_shape)
    return None if step is None else its_shape.names[step]


@cache
def shape(saga: Saga) -> Shape:
    """The saga in numbers, with the reasons why the pivot and what others use cannot be left out."""
    used = {name: step.name for step in saga.steps for name in step.uses}
    why = {name: f"{user} builds on it" for name, user in used.items()} | {saga.pivot: "it is the pivot"}
    why |= {step.name: step.unskippable for step in saga.steps if step.unskippable}
    return Shape(
        names=tuple(step.name for step in saga.steps),
        stages=tuple(bits(steps) for steps in saga.forward),
        pivot_stage=saga.pivot_stage,
        compensable=saga.compensable,
        uses=tuple(bits([saga.numbers[name] for name in step.uses]) for step in saga.steps),
        unskippable={saga.numbers[name]: reason for name, reason in why.items()},
        is_follow_up=saga.is_follow_up,
        abandonable=saga.abandonable,
    )


def next_of(saga: Saga, run: Subject) -> Next:
    """What happens next to a run, and when."""
    step = allowed.position(run, shape(saga))
    name = None if step is None else saga.steps[step].name
    forward = run.direction is Direction.FORWARD
    match run.state:
        case RunState.ENDED:
            return Next(what="nothing: it has ended", step=None, at=None, attempt=None, attempts_at_most=None)
        case RunState.PARKED:
            what = "nothing until a person acts"
            return Next(what=what, step=name, at=None, attempt=None, attempts_at_most=None)
        case RunState.TRAVELLING:
            what = "its cohort does the step" if forward else "its cohort undoes the step"
            return Next(what=what, step=name, at=None, attempt=None, attempts_at_most=None)
        case RunState.WAITING if is_paused_lane(run.lane):
            ends = forward and run.stage <= saga.bounded_stage
            held_back = run.lane.removeprefix(PAUSED).replace(":", " ").replace(",", " or ")
            what = f"it waits until {held_back} is resumed{', or its time is over' if ends else ''}"
            at = run.due_at if ends else None
            return Next(what=what, step=name, at=at, attempt=None, attempts_at_most=None)
        case RunState.WAITING:
            tries = saga.steps[step].retry.attempts if forward and step is not None else UNDO.attempts
            return Next(
                what="the step is done" if forward else "the step is undone",
                step=name,
                at=run.due_at,
                attempt=run.attempts + 1,
                attempts_at_most=tries,
            )


def _named(found: int, names: Sequence[str]) -> list[str]:
    return [name for number, name in enumerate(names) if found >> number & 1]
