"""As courier networks write: one event a message, their words in lower case, our order in `external_id`."""

import msgspec

from app.callbacks.model import Format, Message, OrderKey
from app.deliveries.model import Report, Reported
from app.orders.document import Moment, Name

KIND = "event.delivery_status"  # others tell where the courier is
WORDS = {
    "pending": None,  # they look for a courier
    "pickup": None,  # he is on his way to the restaurant
    "pickup_complete": Reported.PICKED_UP,
    "dropoff": Reported.IN_TRANSIT,
    "delivered": Reported.DELIVERED,
    "canceled": Reported.GIVEN_BACK,
    "returned": Reported.GIVEN_BACK,
}


class CourierStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What has happened to one delivery, in the format `courier-status`; other members are passed over."""

    id: Name
    kind: Name
    created: Moment
    status: Name | None = None
    external_id: OrderKey
    reason: Name | None = None


def _reports(told: CourierStatus, message: Message) -> list[Report]:
    word = told.status or ""
    what = WORDS.get(word, word)
    if told.kind != KIND or what is None:
        return []
    return [
        message.report(
            event_id=told.id, order=told.external_id, what=what, at=told.created, reason=told.reason
        )
    ]


FORMAT = Format(
    name="courier-status",
    body=CourierStatus,
    reports=_reports,
    example={
        "id": "evt_7Hq2",
        "kind": KIND,
        "created": "2026-11-23T09:41:12.090Z",
        "status": "pickup_complete",
        "external_id": "018f3b2c-7d4e-7a10-9c55-3f1e2a6b7c8d:dispatch-to-partner:falcon:0",
        "delivery_id": "del_0vB1",
    },
)
