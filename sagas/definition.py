"""
A saga as plain data: stages of steps, a pivot, compensations.

Names are stable and never reused; a changed order of steps is a new version, and runs finish on theirs.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property

from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Connection

from app import errors
from app.runs.cohorts import ParallelStage
from app.runs.model import (
    FOLLOW_UP,
    FRONT,
    Direction,
    LostCohort,
    Member,
    Outcome,
    Outcomes,
    is_isolation_lane,
    step_lane,
)
from sagas.ports import Ports

KILL_AFTER_S = 5.0  # what does not end when it is interrupted
ISOLATION_LIMIT_S = 5.0


class Queue(StrEnum):
    """Which worker pool does the step's work."""

    STEPS = "steps"  # short, local
    PARTNER = "partner"  # waits for others' answers
    PATIENT = (
        "patient"  # waits long for those who were silent before; takes the place of PARTNER in their lanes
    )
    OPTIMIZER = "optimizer"  # computes


class Priority(IntEnum):
    """Which of the messages that wait for one worker pool goes first. The values are those that Redis tells apart."""

    FIRST = 0
    HIGH = 3
    USUAL = 6
    LOW = 9


class BadDefinition(ValueError):
    """A saga that contradicts itself; the message names the step and says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """
    What an action has reached for its members.

    :param record: writes that belong to the outcomes, done in the transaction that keeps them;
        it may answer with worse outcomes where the truth has moved on meanwhile
    """

    outcomes: Outcomes
    record: Callable[[Connection, Outcomes], Outcomes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    What an action may know of its execution besides its members.

    :param patience_s: how long to wait for others' answers
    :param sure: no earlier execution of this step can have called anybody for these members
    :param paused: partners who may not be called, since operators hold them back
    """

    lane: str
    patience_s: float
    sure: bool
    cohort_id: int
    step: int
    executor: str
    paused: frozenset[str] = frozenset()


Action = Callable[[Ports, Call, Sequence[Member]], Result]
OrderAction = Callable[[Ports, Call, Member], Outcome]


class SomeRaised(Exception):
    """An action for single orders has raised for some of them."""

    def __init__(self, outcomes: Outcomes, raised: Sequence[tuple[Member, Exception]]) -> None:
        """:param outcomes: of the others"""
        super().__init__()
        self.outcomes, self.raised = outcomes, raised


def each(action: OrderAction) -> Action:
    """
    A cohort's action, or compensation, made of one for a single order; what that raises is this order's alone.

    One call after the other: where the other side takes many orders at a time, an action of its own is cheaper.
    """

    def act(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
        outcomes: dict[int, Outcome] = {}
        raised: list[tuple[Member, Exception]] = []
        for member in members:
            try:
                outcomes[member.run_id] = action(ports, call, member)
            except (LostCohort, SoftTimeLimitExceeded):
                raise
            except Exception as error:  # noqa: BLE001 (told with its order)
                raised.append((member, error))
        if raised:
            raise SomeRaised(outcomes, raised)
        return Result(outcomes)

    act.__name__ = getattr(action, "__name__", "each")
    return act


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """
    How often and how soon an unavailable order is tried again: exponential backoff with full jitter.

    After `attempts`, or `total_s` after its first failure (None: whenever), it is given up: undone before the pivot,
    parked after it. The last try comes when that time is over, not before.
    """

    attempts: int = 8
    first_s: float = 0.5
    cap_s: float = 8.0
    total_s: float | None = None

    def backoff_s(self, attempt: int, *, chance: float | None = None) -> float:
        """Seconds to wait after the `attempt`-th failure (from 1): by chance up to the doubled step."""
        ceiling = min(self.cap_s, self.first_s * 2.0 ** (attempt - 1))
        return ceiling * (random.random() if chance is None else chance)  # noqa: S311 (not a secret)

    def gives_up(self, attempts: int, failing_s: float) -> bool:
        """Whether so many failures, the first of them that long ago, are enough."""
        return attempts >= self.attempts or (self.total_s is not None and failing_s >= self.total_s)

    def wait_s(self, attempts: int, failing_s: float) -> float:
        """Seconds until the next try, by chance."""
        backoff_s = self.backoff_s(attempts)
        return backoff_s if self.total_s is None else min(backoff_s, self.total_s - failing_s)


@dataclass(frozen=True, slots=True)
class Step:
    """
    One action and how it is undone.

    :param compensation: undoes by key whatever the action may have done; None needs `no_compensation` to say why
    :param reads: columns of the order that action and compensation are given
    :param uses: earlier steps whose detail they are given
    :param emits: whether it writes events
    :param rejects: errors by which the action says that an order is refused, when it cannot say it by an outcome;
        the order's code is the error's `code`, or its class's name
    :param optional: an order for which it does not come about goes on without; what it may have done is still undone
        if the order fails later
    :param concurrency: cohorts in it at once at most, over all workers and sagas; None is as many as the lanes carry
    :param priority: among the messages that wait for its pool; to undo is at least HIGH
    :param time_limit_s: an execution that takes longer is interrupted, and 5 s later killed
    :param give_up_code: the code under which a run is parked when the step, past the pivot, or as a pivot that
        cannot be undone, is given up
    :param in_doubt_code: the same, when it is given up in doubt; None is as `give_up_code`
    :param unskippable: why an operator may not leave it out; the pivot and steps that others use need not say
    """

    name: str
    action: Action
    compensation: Action | None = None
    no_compensation: str | None = None
    queue: Queue = Queue.STEPS
    reads: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    retry: Retry = field(default_factory=Retry)
    rejects: tuple[type[Exception], ...] = (errors.Rejected,)
    optional: bool = False
    concurrency: int | None = None
    priority: Priority = Priority.USUAL
    emits: bool = False
    time_limit_s: float = 20.0
    give_up_code: str = "gave-up"
    in_doubt_code: str | None = None
    unskippable: str | None = None

    def limit_s(self, lane: str) -> float:
        """For how long it may be executed for a cohort of the lane."""
        return min(self.time_limit_s, ISOLATION_LIMIT_S) if is_isolation_lane(lane) else self.time_limit_s


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps that run side by side."""

    steps: tuple[Step, ...]


def parallel(*steps: Step) -> Stage:
    """Steps that run side by side; the next stage waits for all of them."""
    return Stage(steps)


@dataclass(frozen=True)
class Saga:
    """
    Steps in their order.

    :param pivot: the step from which the run only goes forward
    :param on_undone: tells the order that everything has been undone, in the transaction that ends the run
    :param lane: in which its runs begin, and wait while nothing is wrong
    :param abandonable: whether an operator may end a run as it is past the pivot too, for another to take the order up
    :param needs_hold: whether the pivot's gate asks for held capacity
    :raises BadDefinition: if a step's options do not fit its place
    """

    name: str
    version: int
    stages: tuple[Stage, ...]
    pivot: str
    on_undone: Callable[[Connection, Mapping[int, Mapping[str, object]]], None]
    lane: str = FRONT
    needs_hold: bool = True
    abandonable: bool = False

    def __post_init__(self) -> None:
        for step in self.steps:
            why = self._needed(step) if step.optional else None
            if why:
                raise BadDefinition(f"{self.name}: {step.name} cannot be optional: {why}")
            if step.concurrency is not None and step.concurrency < 1:
                raise BadDefinition(f"{self.name}: {step.name} needs a concurrency of at least 1")
        for stage in self.stages:
            limited = [step.name for step in stage.steps if step.concurrency is not None]
            if len(limited) > 1:
                raise BadDefinition(f"{self.name}: {', '.join(limited)} run side by side: limit one of them")

    @property
    def is_follow_up(self) -> bool:
        """Whether its runs act on orders that were fulfilled before."""
        return self.lane == FOLLOW_UP

    @classmethod
    def of(cls, *, stages: tuple[Step | Stage, ...], **rest: object) -> "Saga":
        """A saga whose lone steps need not be wrapped."""
        wrapped = tuple(stage if isinstance(stage, Stage) else Stage((stage,)) for stage in stages)
        return cls(stages=wrapped, **rest)  # type: ignore[arg-type]

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """All steps; a step's number is its place here."""
        return tuple(step for stage in self.stages for step in stage.steps)

    @cached_property
    def numbers(self) -> dict[str, int]:
        return {step.name: number for number, step in enumerate(self.steps)}

    @cached_property
    def pivot_stage(self) -> int:
        return next(
            i for i, stage in enumerate(self.stages) for step in stage.steps if step.name == self.pivot
        )

    @cached_property
    def bounded_stage(self) -> int:
        """The last stage at which a run ends when its time is over: not at a pivot that cannot be undone."""
        pivot = self.steps[self.numbers[self.pivot]]
        return self.pivot_stage if pivot.compensation else self.pivot_stage - 1

    @cached_property
    def forward(self) -> tuple[tuple[int, ...], ...]:
        """Step numbers by stage, going forward."""
        return tuple(tuple(self.numbers[step.name] for step in stage.steps) for stage in self.stages)

    @cached_property
    def backward(self) -> tuple[tuple[int, ...], ...]:
        """Step numbers by stage, going backward: one compensation a stage, latest step first."""
        return tuple((n,) for n in reversed(range(len(self.steps))) if self.steps[n].compensation)

    @cached_property
    def entrances(self) -> tuple[str | None, ...]:
        """By stage going forward, the only lane through which it may be entered; None if any will do."""
        limited = (
            [step.name for step in stage.steps if step.concurrency is not None] for stage in self.stages
        )
        return tuple(step_lane(names[0]) if names else None for names in limited)

    def travelled(self, direction: Direction) -> tuple[tuple[int, ...], ...]:
        return self.forward if direction is Direction.FORWARD else self.backward

    @cached_property
    def compensable(self) -> int:
        """Bit set of the steps that can be undone."""
        return sum(1 << n for n, step in enumerate(self.steps) if step.compensation)

    def _needed(self, step: Step) -> str | None:
        user = next((other.name for other in self.steps if step.name in other.uses), None)
        if step.name == self.pivot:
            return "it is the pivot"
        return f"{user} builds on it" if user else step.unskippable


class Registry:
    """
    The sagas this process knows, by name and version.

    `concurrency` of the steps that have one, by step name; `parallel`, the stages whose steps run side by side.
    """

    def __init__(self, *sagas: Saga) -> None:
        self._sagas = {(saga.name, saga.version): saga for saga in sagas}
        self.parallel = [
            ParallelStage(saga.name, saga.version, stage, steps)
            for saga in sagas
            for stage, steps in enumerate(saga.forward)
            if len(steps) > 1
        ]
        self.concurrency: dict[str, int] = {}
        for saga in sagas:
            for step in saga.steps:
                if step.concurrency is None:
                    continue
                if self.concurrency.setdefault(step.name, step.concurrency) != step.concurrency:
                    raise BadDefinition(f"{step.name} has different limits in different sagas")

    def get(self, name: str, version: int) -> Saga:
        return self._sagas[name, version]

    def __iter__(self) -> Iterator[Saga]:
        return iter(self._sagas.values())
