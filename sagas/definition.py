"""
A saga as plain data: stages of steps, a pivot, compensations.

Names are stable and never reused; a changed order of steps is a new version, and runs finish on theirs.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from sqlalchemy import Connection

from app.runs.model import FOLLOW_UP, FRONT, Direction, Member, Outcomes
from sagas.ports import Ports


class Queue(StrEnum):
    """Which worker pool does the step's work."""

    STEPS = "steps"  # short, local
    PARTNER = "partner"  # waits for others' answers
    OPTIMIZER = "optimizer"  # computes


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
    """

    patience_s: float
    sure: bool
    cohort_id: int
    step: int
    executor: str


Action = Callable[[Ports, Call, Sequence[Member]], Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """
    How often and how soon an unavailable order is tried again: exponential backoff with full jitter.

    After `attempts` it is given up: undone before the pivot, parked after it.
    """

    attempts: int = 8
    first_s: float = 0.5
    cap_s: float = 8.0

    def backoff_s(self, attempt: int, *, chance: float | None = None) -> float:
        """Seconds to wait after the `attempt`-th failure (from 1): by chance up to the doubled step."""
        ceiling = min(self.cap_s, self.first_s * 2.0 ** (attempt - 1))
        return ceiling * (random.random() if chance is None else chance)  # noqa: S311 (not a secret)


@dataclass(frozen=True, slots=True)
class Step:
    """
    One action and how it is undone.

    :param compensation: undoes by key whatever the action may have done; None needs `no_compensation` to say why
    :param reads: columns of the order that action and compensation are given
    :param uses: earlier steps whose detail they are given
    :param emits: whether it writes events
    :param time_limit_s: an execution that takes longer is interrupted, and 5 s later killed
    :param give_up_code: the code under which a run is parked when the step, past the pivot, or as a pivot that
        cannot be undone, is given up
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
    emits: bool = False
    time_limit_s: float = 20.0
    give_up_code: str = "gave-up"
    unskippable: str | None = None


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
    """

    name: str
    version: int
    stages: tuple[Stage, ...]
    pivot: str
    on_undone: Callable[[Connection, Mapping[int, Mapping[str, object]]], None]
    lane: str = FRONT
    needs_hold: bool = True
    abandonable: bool = False

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
    def forward(self) -> tuple[tuple[int, ...], ...]:
        """Step numbers by stage, going forward."""
        return tuple(tuple(self.numbers[step.name] for step in stage.steps) for stage in self.stages)

    @cached_property
    def backward(self) -> tuple[tuple[int, ...], ...]:
        """Step numbers by stage, going backward: one compensation a stage, latest step first."""
        return tuple((n,) for n in reversed(range(len(self.steps))) if self.steps[n].compensation)

    def travelled(self, direction: Direction) -> tuple[tuple[int, ...], ...]:
        return self.forward if direction is Direction.FORWARD else self.backward

    @cached_property
    def compensable(self) -> int:
        """Bit set of the steps that can be undone."""
        return sum(1 << n for n, step in enumerate(self.steps) if step.compensation)


class Registry:
    """The sagas this process knows, by name and version."""

    def __init__(self, *sagas: Saga) -> None:
        self._sagas = {(saga.name, saga.version): saga for saga in sagas}

    def get(self, name: str, version: int) -> Saga:
        return self._sagas[name, version]

    def __iter__(self) -> Iterator[Saga]:
        return iter(self._sagas.values())
