"""
States and value objects of runs and cohorts.

    waiting --claim--> travelling --advance--> ended
       ^                   |
       +---- retry, undo --+--> parked (needs a person)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from app import errors, time_ids


class RunState(StrEnum):
    WAITING = "w"  # in its lane, due at some time
    TRAVELLING = "t"  # a member of a cohort
    ENDED = "e"  # nothing more will happen
    PARKED = "p"  # nothing more will happen unless a person acts


class Direction(StrEnum):
    FORWARD = "f"
    BACKWARD = "b"  # compensating


class Verdict(StrEnum):
    """What a step says of one order."""

    DONE = "d"
    UNDONE = "u"
    REJECTED = "r"  # refused for good: never retried
    UNAVAILABLE = "n"  # surely without effect: tried again later
    IN_DOUBT = "i"  # perhaps with effect: asked again by the same key
    NOT_YET = "l"  # nobody was called: it is early, an operator holds it back, or it may not go on (STOPPED)
    POISONED = "p"  # makes the step raise, where others pass: needs a person
    LEFT_OUT = "o"  # did not come about, and the run goes on without: the step is optional


FRONT = "front"
EXPRESS = "express"  # new orders of who has few waiting, while another has more than a claim can take
RETRY = "retry"
COMPENSATION = "compensation"
PAUSED = "paused:"
FOLLOW_UP = "follow-up"  # runs on orders that were fulfilled before
PASSED = (Verdict.DONE, Verdict.LEFT_OUT)
FINAL = (Verdict.POISONED, Verdict.REJECTED)  # trying again changes nothing


def provider_lane(name: str) -> str:
    """The lane of the orders that wait for one slow or silent provider."""
    return f"provider:{name}"


def step_lane(name: str) -> str:
    """The one way into a step that only so many cohorts may be in, whatever their saga."""
    return f"step:{name}"


def isolation_lane(n: int) -> str:
    """The n-th lane of those in whose cohort a process died or hung: apart, so that the others get through."""
    return f"isolation:{n}"


def is_isolation_lane(lane: str) -> bool:
    return lane.startswith("isolation:")


def is_provider_lane(lane: str) -> bool:
    return lane.startswith("provider:")


def paused_lane(kind: str, *names: str) -> str:
    """The lane of the orders that wait until an operator resumes any of these, which are all paused."""
    return f"{PAUSED}{kind}:{','.join(sorted(names))}"


def is_paused_lane(lane: str) -> bool:
    return lane.startswith(PAUSED)


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """
    One order's result of one step.

    :param code: stable reason, for every verdict but DONE and UNDONE
    :param detail: what later steps and readers need, as JSON
    :param provider: who is silent or unavailable; sends the order into that provider's lane
    :param due_in_s: when to come again, for NOT_YET
    """

    verdict: Verdict
    code: str | None = None
    detail: Mapping[str, Any] | None = None
    provider: str | None = None
    due_in_s: float = 0.0

    @property
    def paused_lane(self) -> str | None:
        """Where the order waits for an operator who holds it back; None if nobody does."""
        return self.code if self.code and is_paused_lane(self.code) else None

    @property
    def is_unforeseen(self) -> bool:
        """Whether the step raised: such an order is not undone by the same code unless a person says so."""
        return self.verdict is Verdict.POISONED or (self.code or "").startswith(RAISED)


RAISED = "raised-"
EXPIRED, CANCELLED, HOLD_EXPIRED = "expired", "cancelled", "hold-expired"
# those who may not go on to a step: told as NOT_YET where surely nobody was called for them there
STOPPED = (EXPIRED, CANCELLED, HOLD_EXPIRED)

DONE = Outcome(Verdict.DONE)
UNDONE = Outcome(Verdict.UNDONE)

Outcomes = Mapping[int, Outcome]  # by run id


class Member(msgspec.Struct, frozen=True, gc=False):
    """
    One run in a cohort, with the columns of its order that the step reads (`given`).

    :param attempts: how often it has failed in the stage at which its cohort now stands
    :param failing_since: when it first did
    """

    run_id: int
    order_id: str
    tenant_id: str
    done: int
    touched: int
    undone: int
    attempts: int
    generation: int
    not_after: datetime
    failure: Mapping[str, Any] | None
    failing_since: datetime | None = None
    given: Mapping[str, Any] = {}

    @property
    def created_at(self) -> datetime:
        return time_ids.made_at(self.run_id)


@dataclass(frozen=True, slots=True)
class Cohort:
    """
    Runs that travel together, as one epoch's carrier sees them.

    :param seen_at: by the database's clock
    :param paused: what operators held back then, as `kind:name`, when a step was begun
    """

    id: int
    epoch: int
    saga: str
    version: int
    direction: Direction
    lane: str
    itinerary: tuple[int, ...]
    leg: int
    members: tuple[int, ...]
    seen_at: datetime
    paused: frozenset[str] = frozenset()

    @property
    def stage(self) -> int:
        return self.itinerary[self.leg]

    @property
    def at_last_leg(self) -> bool:
        return self.leg == len(self.itinerary) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """
    How one run leaves its cohort. `due_at` goes before `due_in_s`, which counts from the commit.

    :param unasked: it has passed the pivot's gate, but nobody was called for it there: the gate is open again
    """

    id: int
    state: RunState
    direction: Direction
    stage: int
    done: int
    touched: int
    undone: int
    attempts: int = 0
    lane: str = FRONT
    due_in_s: float = 0.0
    due_at: datetime | None = None
    failure: Mapping[str, Any] | None = None
    failing_since: datetime | None = None
    unasked: bool = False

    @property
    def parked_for(self) -> tuple[str, str]:
        """Step and code, of a run that is parked."""
        failure = self.failure or {}
        names = ("parked", "parked_code") if "parked" in failure else ("step", "code")
        return str(failure.get(names[0])), str(failure.get(names[1]))

    @property
    def ends_in_failure(self) -> bool:
        return self.state is RunState.ENDED and self.failure is not None


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    How all the runs of a cohort that went forward leave it, when every step is done for each of them.

    :param passed: bit set of the steps of the stages behind them
    """

    state: RunState
    stage: int
    lane: str
    passed: int


class LostCohort(errors.Conflict):
    """This carrier no longer leads the cohort: another epoch does, or it has ended."""

    code = "lost-cohort"


class StepPassed(errors.Conflict):
    """The step has been finished already: the carrier may go on to the next."""

    code = "step-passed"
