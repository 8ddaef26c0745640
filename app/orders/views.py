"""
What is told about orders: the shapes that queries return and that clients see.

Times are aware, in UTC. Field names are the names in JSON.
"""

from dataclasses import dataclass
from enum import StrEnum

from app.orders.document import Moment, Window
from app.orders.model import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """
    Why an order was not fulfilled. `compensated`: all that had been begun is undone.

    `next_window` is offered when the order's own window was full, if one within four hours had room.
    """

    code: str
    reason: str
    step: str | None
    compensated: bool
    next_window: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """How one step of the order's saga stands."""

    name: str
    status: str
    attempts: int
    started_at: Moment | None
    finished_at: Moment | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    """Money given back to the customer so far, of the order's total."""

    amount: str
    total: str
    currency: str


class Wish(StrEnum):
    """What has become of a wish."""

    UNDER_WAY = "under-way"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """The latest wish to cancel the order after it was promised, as long as it is not cancelled."""

    state: Wish
    asked_at: Moment
    code: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """One order: where it stands and how it came there."""

    tracking_id: str
    version: int
    status: Status
    stage: str | None
    external_order_id: str | None
    created_at: Moment
    updated_at: Moment
    eta: Moment | None
    partner: str | None
    channel: str | None
    failure: Failure | None
    steps: list[StepView]
    refunded: Refunded | None = None
    cancellation: Cancellation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSummary:
    """One order in a list."""

    tracking_id: str
    status: Status
    customer_id: str
    restaurant_id: str
    external_order_id: str | None
    total_amount: str
    currency: str | None
    created_at: Moment
    updated_at: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One thing that happened to an order, oldest first in a timeline."""

    at: Moment
    event: str
    step: str | None = None
    attempt: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders to list; None is any. `created_from` is inclusive, `created_until` exclusive."""

    status: Status | None = None
    customer_id: str | None = None
    restaurant_id: str | None = None
    external_order_id: str | None = None
    created_from: Moment | None = None
    created_until: Moment | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the list, which is ordered by (created_at, order_id), newest first."""

    created_at: Moment
    order_id: str


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Part of a list. `next`: the last order shown, after which the list goes on; None at its end."""

    orders: list[OrderSummary]
    next: Position | None
