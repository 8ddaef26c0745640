"""What operators are told about differences: the shapes that queries return and that clients see."""

from dataclasses import dataclass
from enum import StrEnum

from app.orders.document import Moment
from app.settlement.model import DifferenceKind


class State(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"  # by a person, or it has gone
    ALL = "all"


class Remedy(StrEnum):
    """What a person may do about a difference."""

    RESOLVE = "resolve"  # it has been dealt with
    UNDO = "undo"  # take an effect that nobody waits for back by its key


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceFilter:
    """Which differences; None is any."""

    state: State = State.OPEN
    kind: DifferenceKind | None = None
    provider: str | None = None
    resource: str | None = None
    tracking_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceView:
    """
    One difference. `ours` and `theirs` say in words how the key stands on either side; `amount` is the money at stake.

    `tracking_id` is null when no order of ours belongs to the key. `undo_trouble`: why an undoing that was asked
    for has not happened.
    """

    id: str
    kind: DifferenceKind
    provider: str
    resource: str
    key: str
    tracking_id: str | None
    ours: str
    theirs: str
    amount: str | None
    currency: str | None
    first_seen: Moment
    last_seen: Moment
    undo_asked_at: Moment | None
    undo_trouble: str | None
    resolved_at: Moment | None
    resolved_by: str | None
    resolved_why: str | None


@dataclass(frozen=True, slots=True)
class DifferencePage:
    """Part of a list, newest first. `next`: the last one shown, after which the list goes on; None at its end."""

    differences: list[DifferenceView]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRemedy:
    """What an operator did about the difference."""

    at: Moment
    act: str
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceStory:
    """A difference with what was done about it."""

    difference: DifferenceView
    acts: list[PastRemedy]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceGroup:
    """Open differences of one provider, resource, kind and currency. `amount`: their money at stake, if any."""

    provider: str
    resource: str
    kind: DifferenceKind
    currency: str | None
    differences: int
    amount: str | None
    first_seen: Moment
    last_seen: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class ActedOn:
    """One act: how the difference stood and how it stands."""

    act: Remedy
    before: DifferenceView
    after: DifferenceView
