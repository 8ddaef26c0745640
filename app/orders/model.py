"""What an order is while it is taken in, and the states that the public sees."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app import errors
from app.orders import document

LEAD = timedelta(minutes=45)  # how long before its window an order is released


class Status(StrEnum):
    """Where an order stands, as the public sees it."""

    PENDING = "PENDING"  # accepted, on its way through the saga
    CONFIRMED = (
        "CONFIRMED"  # capacity held, payment authorized, a channel has taken the delivery, an ETA promised
    )
    PREPARING = "PREPARING"  # the kitchen is at work
    READY_FOR_PICKUP = "READY_FOR_PICKUP"  # waits for the courier
    PICKED_UP = "PICKED_UP"  # the courier has it
    IN_TRANSIT = "IN_TRANSIT"  # on the road
    DELIVERED = "DELIVERED"  # handed over
    CANCELLED = "CANCELLED"  # undone at the client's wish
    FAILED = "FAILED"  # refused or given up, with everything undone


FINAL = frozenset({Status.DELIVERED, Status.CANCELLED, Status.FAILED})
# Promised, and not in a courier's hands yet: who has the delivery may still give it back.
CANCELLABLE = frozenset({Status.CONFIRMED, Status.PREPARING, Status.READY_FOR_PICKUP})


@dataclass(frozen=True, slots=True)
class NewOrder:
    """
    A submission that has been authenticated, parsed and found valid.

    :param trace: of its client, if he told one: id and flags, `0af7651916cd43dd8448eb211c80319c-01`
    """

    tenant_id: str
    idempotency_key: str
    fingerprint: str
    order: document.Order
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The order is committed. `replayed`: it already was, by an earlier request with the same key."""

    order_id: str
    created_at: datetime
    replayed: bool


class KeyReused(errors.Rejected):
    """The idempotency key was used before with another order."""

    code = "idempotency-key-reused"


class ExternalIdTaken(errors.Conflict):
    """Another order has this external_order_id."""

    code = "external-order-id-taken"

    def __init__(self, *, order_id: str) -> None:
        super().__init__(order_id=order_id)
        self.order_id = order_id


class InFlight(errors.Conflict):
    """Another request with this idempotency key or external_order_id is still being processed."""

    code = "request-in-flight"

    def __init__(self) -> None:
        super().__init__(retry_after_s=1)


class OrderNotFound(errors.NotFound):
    """There is no such order."""

    code = "order-not-found"
