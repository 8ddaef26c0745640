"""Events and their envelope: CloudEvents 1.0 in JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from app.outbox.registry import SCHEMA_URIS

SOURCE, SOURCE_OF_WEBHOOKS = "/uoop/orders", "/uoop/webhooks"


class EventType(StrEnum):
    """
    What can have happened: to an order, or to a webhook, whose id then stands for the tracking id.

    `app.outbox.registry` tells what each means.
    """

    ACCEPTED = "order.accepted"
    CONFIRMED = "order.confirmed"
    PREPARING = "order.preparing"
    READY_FOR_PICKUP = "order.ready-for-pickup"
    PICKED_UP = "order.picked-up"
    IN_TRANSIT = "order.in-transit"
    DELIVERED = "order.delivered"
    REROUTED = "order.rerouted"
    FAILED = "order.failed"
    CANCELLED = "order.cancelled"
    CANCELLATION_REFUSED = "order.cancellation-refused"  # it stays as it was
    REFUNDED = "order.refunded"
    ASSIGNMENT_CHANGED = "assignment.changed"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_TEST = "webhook.test"  # sent to one webhook on demand, and in no log
    WITHHELD = "event.withheld"  # stands where a sink refused an event, which is now among its dead letters


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event in the log.

    :param pos: gapless place in the log
    :param sequence: gapless number within its order, from 1
    """

    pos: int
    id: int
    tenant_id: str
    order_id: str
    sequence: int
    type: str
    data: Mapping[str, Any]
    at: datetime

    def withheld(self, reason: str) -> "Event":
        """What stands in its place, under its id and sequence, when a sink refuses it for good."""
        return replace(self, type=EventType.WITHHELD, data={"type": self.type, "reason": reason[:200]})


_SCHEMAS = {type_: {"dataschema": uri} for type_, uri in SCHEMA_URIS.items()}


def envelope(event: Event) -> bytes:
    """
    The event as others see it. Source of the format: CloudEvents 1.0.2, JSON event format.

    The audit reads it by the order of its fields: id, source and type first, the sequence before the data.
    """
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": str(event.id),
            "source": SOURCE_OF_WEBHOOKS if event.type.startswith("webhook.") else SOURCE,
            "type": event.type,
            "subject": event.order_id,
            "time": event.at,
            "datacontenttype": "application/json",
            **_SCHEMAS.get(event.type, {}),
            "tenant": event.tenant_id,
            "sequence": event.sequence,
            "data": event.data,
        }
    )
