"""Examples of what operators read and send about deliveries."""

from typing import Any

from web.description.examples import TRACKING_ID

REPORT_ID = "3714096215048884711"

REPORTS: dict[str, Any] = {
    "reports": [
        {
            "report_id": REPORT_ID,
            "reporter": "partner",
            "by": "falcon",
            "event_id": "f-88213",
            "tracking_id": TRACKING_ID,
            "what": "PICKED_UP",
            "at": "2026-11-23T09:41:12Z",
            "details": None,
            "fate": "parked",
            "reason": "other-partner",
            "acts": [],
        }
    ]
}
PARKED: dict[str, Any] = {
    "groups": [
        {
            "reason": "other-partner",
            "reporter": "partner",
            "by": "falcon",
            "reports": 3,
            "sample": TRACKING_ID,
        }
    ]
}
SETTLE: dict[str, Any] = {
    "act": "dismiss",
    "report_ids": [REPORT_ID],
    "reason": "Falcon's courier had pressed the wrong order.",
    "operator": "fatima",
}
SETTLED: dict[str, Any] = {"reports": 1}
MARK: dict[str, Any] = {
    "status": "DELIVERED",
    "reason": "The customer says so by telephone.",
    "operator": "ali",
}
MARKED: dict[str, Any] = {"tracking_id": TRACKING_ID, "before": "PICKED_UP", "status": "DELIVERED"}
REROUTE: dict[str, Any] = {"reason": "The courier has had an accident.", "operator": "ali"}
REROUTED: dict[str, Any] = {"tracking_id": TRACKING_ID, "run_id": "3714096215048890021"}
REFUSE: dict[str, Any] = {"courier": "rider-7", "reason": "His bicycle has a flat tyre.", "operator": "ali"}
REFUSED: dict[str, Any] = {"tracking_id": TRACKING_ID, "courier": "rider-7"}
COURIERS: dict[str, Any] = {
    "couriers": [
        {
            "id": "rider-7",
            "lat": 26.2235,
            "lng": 50.5876,
            "on_from": "2026-11-23T07:00:00Z",
            "on_until": "2026-11-23T15:00:00Z",
            "max_orders": 3,
            "has": ["car", "cool-box"],
        }
    ]
}
