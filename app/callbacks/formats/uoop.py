"""The platform's own format: up to 1,000 events in a message, in the platform's words."""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.callbacks.model import Format, Message, OrderKey
from app.deliveries.model import Report
from app.orders.document import Moment, Name


class ToldEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What has happened to a delivery; `id` is yours, and the same again is the same event."""

    id: Name
    order: OrderKey
    state: Name
    at: Moment
    reason: Name | None = None


class ToldEvents(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What has happened to deliveries, in the format `uoop`."""

    events: Annotated[list[ToldEvent], Meta(min_length=1, max_length=1000)]


def _reports(told: ToldEvents, message: Message) -> list[Report]:
    return [
        message.report(
            event_id=event.id, order=event.order, what=event.state, at=event.at, reason=event.reason
        )
        for event in told.events
    ]


FORMAT = Format(
    name="uoop",
    body=ToldEvents,
    reports=_reports,
    example={
        "events": [
            {
                "id": "f-88213",
                "order": "018f3b2c-7d4e-7a10-9c55-3f1e2a6b7c8d",
                "state": "PICKED_UP",
                "at": "2026-11-23T09:41:12Z",
            }
        ]
    },
)
