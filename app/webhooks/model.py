"""Endpoints and deliveries as their owner sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app import errors

AT_MOST = 50
"""Endpoints of one tenant."""


class WebhookNotFound(errors.NotFound):
    """There is no such webhook."""

    code = "webhook-not-found"


class TooManyWebhooks(errors.Conflict):
    """The tenant has as many webhooks as it may have."""

    code = "too-many-webhooks"


class WebhookState(StrEnum):
    """Whether events are sent there."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class DisabledReason(StrEnum):
    """Why it was disabled."""

    OWNER = "owner"  # it was asked for
    GONE = "gone"  # it answered 410
    FAILING = "failing"  # nothing has been taken for days


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"  # for its first or next try
    SENDING = "sending"
    DELIVERED = "delivered"
    GIVEN_UP = "given-up"  # its tries are used up


STANDINGS = {
    "w": DeliveryState.WAITING,
    "s": DeliveryState.SENDING,
    "d": DeliveryState.DELIVERED,
    "g": DeliveryState.GIVEN_UP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A receiver; `types` it wants, all if there are none. `failures` are those in a row, up to now."""

    id: str
    url: str
    types: list[str]
    description: str | None
    state: WebhookState
    reason: DisabledReason | None
    failures: int
    failing_since: datetime | None
    old_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """
    One event on its way to one receiver; `status`, `took_ms`, `error` and `answered_at` are those of the latest try.

    `place` is the event's in the log, `event_id` what the receiver knows it by (webhook-id).
    """

    place: int
    event_id: str | None
    type: str | None
    order_id: str
    sequence: int | None
    state: DeliveryState
    tries: int
    due_at: datetime | None
    status: int | None
    took_ms: int | None
    error: str | None
    answered_at: datetime | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Newest events first; `next` is the place to go on behind, None at the end."""

    deliveries: list[WebhookDelivery]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """
    Which events of the last seven days are to be sent again: all that is given must hold.

    :param after: a place in the log, to go on behind it
    """

    place: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    order_id: str | None = None
    type: str | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many will be sent again; `next_after`: there may be more behind that place."""

    events: int
    next_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be different; None is as it was."""

    url: str | None = None
    types: Sequence[str] | None = None
    description: str | None = None
