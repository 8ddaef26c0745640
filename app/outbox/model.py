"""Events and their envelope: CloudEvents 1.0 in JSON."""

import hashlib
import re
from collections.abc import Mapping
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


class Event(msgspec.Struct, frozen=True, gc=False):
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
        return msgspec.structs.replace(
            self, type=EventType.WITHHELD, data={"type": self.type, "reason": reason[:200]}
        )


_UUID_DIGITS = re.compile(r"(?!0{32})[0-9a-f]{32}")
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
            "traceparent": traceparent(event),
            "sequence": event.sequence,
            "data": event.data,
        }
    )


def traceparent(event: Event) -> str:
    """
    Where the event stands in its order's trace. Source of the format: W3C Trace Context, level 1.

    All that happens to an order is one trace, whose id is the tracking id without its dashes, and each event a span
    of the event's id: so it needs no place in any table, and whoever knows the tracking id can search for it.
    """
    digits = event.order_id.replace("-", "")
    if not _UUID_DIGITS.fullmatch(digits):  # an order that brought its own id
        digits = hashlib.md5(event.order_id.encode(), usedforsecurity=False).hexdigest()
    return f"00-{digits}-{event.id:016x}-01"
