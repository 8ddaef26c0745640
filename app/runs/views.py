"""
What operators are told about runs: the shapes that queries return and that clients see.

Run ids are decimal strings: as numbers they are too long for JavaScript. Times are aware, in UTC.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.orders.document import Moment
from app.orders.model import Status
from app.routing.choice import RoutingView
from app.runs.model import RunState


class State(StrEnum):
    """Where a run is, as operators see it."""

    WAITING = "waiting"  # in its lane, due at some time
    TRAVELLING = "travelling"  # under way with a cohort
    ENDED = "ended"
    PARKED = "parked"  # nothing more will happen unless a person acts

    @classmethod
    def of(cls, state: RunState) -> "State":
        return cls[state.name]

    @property
    def kept(self) -> RunState:
        return RunState[self.name]


class Way(StrEnum):
    FORWARD = "forward"
    BACKWARD = "backward"  # being undone


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """
    Which runs; None is any.

    :param partner: who was or is to deliver, or was asked
    :param step: at which it stands, or was parked
    :param code: of the failure, or of what delayed it last
    :param older_than_s: seconds since its order was accepted, at least
    """

    tracking_id: str | None = None
    external_order_id: str | None = None
    customer_id: str | None = None
    partner: str | None = None
    state: State | None = None
    saga: str | None = None
    step: str | None = None
    code: str | None = None
    older_than_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run in a list. `step`: at which it stands, null when it has ended; `code`: why it failed or is parked."""

    run_id: str
    tracking_id: str
    external_order_id: str | None
    customer_id: str
    partner: str | None
    order_status: Status
    total_amount: str
    currency: str | None
    saga: str
    version: int
    state: State
    direction: Way
    step: str | None
    code: str | None
    attempts: int
    lane: str
    due_at: Moment
    not_after: Moment
    cancel_requested: bool
    accepted_at: Moment
    updated_at: Moment


@dataclass(frozen=True, slots=True)
class RunPage:
    """Part of a list, newest first. `next`: the last run shown, after which the list goes on; None at its end."""

    runs: list[RunSummary]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    One execution of one step in which the run took part; `verdict` is null while it runs.

    `starts` is above 1 when processes died with it; `detail` holds what the step told, or a traceback.
    """

    step: str
    direction: Way
    cohort_id: str
    cohort_size: int
    epoch: int
    starts: int
    started_at: Moment
    finished_at: Moment | None
    verdict: str | None
    code: str | None
    provider: str | None
    detail: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAct:
    """What an operator did to the run."""

    at: Moment
    act: str
    step: str | None
    who: str
    why: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What happens next. `at` is null when nothing will, or when it is happening now."""

    what: str
    step: str | None
    at: Moment | None
    attempt: int | None
    attempts_at_most: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStory:
    """
    Everything about one run. `may_stand`: steps that are done, or may be, and are not undone; `routing`: how its
    channel was chosen, null if none was.
    """

    run: RunSummary
    failure: Any
    done: list[str]
    may_stand: list[str]
    undone: list[str]
    attempts: list[Attempt]
    acts: list[PastAct]
    next: Next
    routing: RoutingView | None


class SpanKind(StrEnum):
    STEP = "step"
    UNDO = "undo"
    WAIT = "wait"  # in a lane
    PARKED = "parked"  # for a person


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """
    Part of a run's line of time; `ended_at` is null while it lasts.

    Of a step and its undoing: the `nth` try, the cohort, and what came of it. Of a wait: the lane and why.
    """

    kind: SpanKind
    began_at: Moment
    ended_at: Moment | None
    step: str | None = None
    nth: int | None = None
    cohort_id: str | None = None
    cohort_size: int | None = None
    verdict: str | None = None
    code: str | None = None
    provider: str | None = None
    lane: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTrace:
    """A run on a line of time. `now`: when it was read, to which what still lasts is drawn."""

    run: RunSummary
    failure: Any
    now: Moment
    spans: list[Span]
    acts: list[PastAct]
    next: Next


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """
    Amounts of one currency: authorized or captured for sure, perhaps (the answer was lost or bad), and to be given
    back.
    """

    currency: str | None
    held: str
    in_doubt: str
    owed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedGroup:
    """Parked runs that stopped alike. `holds`: places in kitchens' windows that they keep."""

    saga: str
    step: str | None
    code: str | None
    runs: int
    first_seen: Moment
    last_seen: Moment
    sample: str
    holds: int
    money: list[Money]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """One act on one run: how it stood and how it stands. Nothing is written on a dry run."""

    run_id: str
    tracking_id: str
    act: str
    dry_run: bool
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """Runs that an act in bulk left alone, and why."""

    code: str
    why: str
    runs: int
    sample: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActedInBulk:
    """`matched` = `acted` + all refusals; `more`: others match too, call again for them."""

    act: str
    dry_run: bool
    matched: int
    acted: int
    more: bool
    refused: list[Refusals]
