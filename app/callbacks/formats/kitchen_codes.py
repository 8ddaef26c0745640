"""As the tills of restaurants write: one order a message, its state a number, and no id but the message's own."""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.callbacks.model import Format, Message, OrderKey
from app.deliveries.model import Report, Reported
from app.orders.document import Moment, Name

CODES = {
    10: None,  # received
    20: None,  # accepted
    50: Reported.PREPARING,
    60: Reported.READY_FOR_PICKUP,  # prepared
    70: Reported.READY_FOR_PICKUP,
    80: None,  # handed over: its courier tells
    90: None,  # closed at the till
}


class KitchenCode(
    msgspec.Struct, frozen=True, kw_only=True, rename={"order_id": "orderId", "at": "timeStamp"}
):
    """What a till says of one order, in the format `kitchen-codes`; other members are passed over."""

    order_id: OrderKey
    status: Annotated[int, Meta(ge=0, le=9999)]
    at: Moment
    reason: Name | None = None


def _reports(told: KitchenCode, message: Message) -> list[Report]:
    what = CODES.get(told.status, f"code-{told.status}")
    if what is None:
        return []
    return [
        message.report(event_id=message.id, order=told.order_id, what=what, at=told.at, reason=told.reason)
    ]


FORMAT = Format(
    name="kitchen-codes",
    body=KitchenCode,
    reports=_reports,
    example={
        "orderId": "018f3b2c-7d4e-7a10-9c55-3f1e2a6b7c8d:place-with-restaurant:0",
        "status": 50,
        "timeStamp": "2026-11-23T09:21:40Z",
        "location": "corner-kitchen",
    },
)
