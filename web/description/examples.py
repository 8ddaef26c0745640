"""Examples that a reader can send as they are."""

from typing import Any

ORDER: dict[str, Any] = {
    "customer_id": "customer-118",
    "restaurant_id": "restaurant-42",
    "items": [
        {"sku": "machboos", "name": "Chicken machboos", "quantity": 2, "unit_price": "2.750"},
        {"sku": "karak", "name": "Karak", "quantity": 3, "unit_price": "0.300"},
    ],
    "delivery_location": {"lat": 26.2285, "lng": 50.586, "address": "Building 12, Road 2803, Manama"},
    "fees": [{"name": "delivery", "amount": "0.500"}],
    "total_amount": "6.900",
    "currency": "BHD",
}

PLANNED_ORDER: dict[str, Any] = {
    **ORDER,
    "external_order_id": "shop-2026-000731",
    "requested_window": {"from": "2026-11-23T12:30:00+03:00", "until": "2026-11-23T13:00:00+03:00"},
    "confirm_within_s": 600,
    "channel_preference": "partner",
    "notes": "Ring at the side door.",
}

TRACKING_ID = "018f3b2c-7d4e-7a10-9c55-3f1e2a6b7c8d"
LINKS = {"self": f"/v1/orders/{TRACKING_ID}", "timeline": f"/v1/orders/{TRACKING_ID}/timeline"}

ACCEPTED: dict[str, Any] = {
    "tracking_id": TRACKING_ID,
    "status": "PENDING",
    "created_at": "2026-11-23T09:15:02.120000Z",
    "links": LINKS,
}

CANCELLING: dict[str, Any] = {"tracking_id": TRACKING_ID, "links": LINKS}

CONFIRMED: dict[str, Any] = {
    "tracking_id": TRACKING_ID,
    "version": 2,
    "status": "CONFIRMED",
    "stage": "confirm-order",
    "external_order_id": None,
    "created_at": "2026-11-23T09:15:02.120000Z",
    "updated_at": "2026-11-23T09:15:02.480000Z",
    "eta": "2026-11-23T09:47:00Z",
    "partner": "swift",
    "channel": "partner",
    "failure": None,
    "steps": [
        {
            "name": "authorize-payment",
            "status": "done",
            "attempts": 1,
            "started_at": "2026-11-23T09:15:02.190000Z",
            "finished_at": "2026-11-23T09:15:02.230000Z",
        }
    ],
    "refunded": {"amount": "1.500", "total": "6.900", "currency": "BHD"},
    "cancellation": {
        "state": "refused",
        "asked_at": "2026-11-23T09:21:40.010000Z",
        "code": "partner-keeps-order",
        "reason": "The delivery partner does not give the order back.",
    },
    "links": LINKS,
}

LIST: dict[str, Any] = {
    "orders": [
        {
            "tracking_id": TRACKING_ID,
            "status": "CONFIRMED",
            "customer_id": "customer-118",
            "restaurant_id": "restaurant-42",
            "external_order_id": None,
            "total_amount": "6.900",
            "currency": "BHD",
            "created_at": "2026-11-23T09:15:02.120000Z",
            "updated_at": "2026-11-23T09:15:02.480000Z",
            "links": LINKS,
        }
    ],
    "next_cursor": None,
}

TIMELINE: dict[str, Any] = {
    "tracking_id": TRACKING_ID,
    "entries": [
        {
            "at": "2026-11-23T09:15:02.120000Z",
            "event": "order.accepted",
            "step": None,
            "attempt": None,
            "detail": None,
        }
    ],
    "links": LINKS,
}

STREAM = (
    "retry: 2000\n\n"
    "id: 1\nevent: order.accepted\n"
    f'data: {{"specversion":"1.0","id":"118","type":"order.accepted","subject":"{TRACKING_ID}","sequence":1}}\n\n'
)
