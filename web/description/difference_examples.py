"""Examples of differences as operators read them."""

from typing import Any

from web.description.examples import TRACKING_ID

DIFFERENCE: dict[str, Any] = {
    "id": "17",
    "kind": "double-effect",
    "provider": "falcon",
    "resource": "dispatches",
    "key": f"{TRACKING_ID}:dispatch-to-partner:falcon:0",
    "tracking_id": TRACKING_ID,
    "ours": f"stands as {TRACKING_ID}:dispatch-to-partner:swift:0",
    "theirs": "stands",
    "amount": None,
    "currency": None,
    "first_seen": "2026-11-24T01:00:07.120000Z",
    "last_seen": "2026-11-24T01:00:07.120000Z",
    "undo_asked_at": None,
    "undo_trouble": None,
    "resolved_at": None,
    "resolved_by": None,
    "resolved_why": None,
}
RESOLVED: dict[str, Any] = {
    **DIFFERENCE,
    "resolved_at": "2026-11-24T08:20:11.480000Z",
    "resolved_by": "0a1b2c3d/fatima",
    "resolved_why": "Falcon has withdrawn it by telephone.",
}
TO_UNDO: dict[str, Any] = {**DIFFERENCE, "undo_asked_at": "2026-11-24T08:20:11.480000Z"}

LIST: dict[str, Any] = {"differences": [DIFFERENCE], "next_cursor": None}
SUMMARY: dict[str, Any] = {
    "groups": [
        {
            "provider": "benefit",
            "resource": "captures",
            "kind": "ours-not-theirs",
            "currency": "BHD",
            "differences": 3,
            "amount": "20.700",
            "first_seen": "2026-11-24T01:00:04.020000Z",
            "last_seen": "2026-11-24T01:00:04.480000Z",
        }
    ]
}
REASON: dict[str, Any] = {"reason": "Falcon has withdrawn it by telephone.", "operator": "fatima"}
STORY: dict[str, Any] = {
    "difference": RESOLVED,
    "acts": [
        {
            "at": "2026-11-24T08:20:11.480000Z",
            "act": "resolve",
            "who": "0a1b2c3d/fatima",
            "why": "Falcon has withdrawn it by telephone.",
        }
    ],
}
ACTED: dict[str, Any] = {"act": "resolve", "before": DIFFERENCE, "after": RESOLVED}
UNDOING: dict[str, Any] = {"act": "undo", "before": DIFFERENCE, "after": TO_UNDO}
