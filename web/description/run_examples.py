"""Examples of what operators read and send."""

from typing import Any

from web.description.examples import TRACKING_ID

RUN_ID = "3714096215048880128"

RUN: dict[str, Any] = {
    "run_id": RUN_ID,
    "tracking_id": TRACKING_ID,
    "external_order_id": None,
    "customer_id": "customer-118",
    "partner": None,
    "order_status": "PENDING",
    "total_amount": "6.900",
    "currency": "BHD",
    "saga": "fulfill-order",
    "version": 1,
    "state": "parked",
    "direction": "forward",
    "step": "place-with-restaurant",
    "code": "raised-KeyError",
    "attempts": 0,
    "lane": "retry",
    "due_at": "2026-11-23T09:15:08.250000Z",
    "not_after": "2026-11-23T09:30:02.120000Z",
    "cancel_requested": False,
    "accepted_at": "2026-11-23T09:15:02.120000Z",
    "updated_at": "2026-11-23T09:15:08.480000Z",
}
STANDING: dict[str, Any] = {"state": "parked", "direction": "forward", "stage": 3, "lane": "retry"}

LIST: dict[str, Any] = {"runs": [RUN], "next_cursor": None}
PARKED: dict[str, Any] = {
    "groups": [
        {
            "saga": "fulfill-order",
            "step": "place-with-restaurant",
            "code": "raised-KeyError",
            "runs": 12,
            "first_seen": "2026-11-23T09:15:08.480000Z",
            "last_seen": "2026-11-23T09:31:44.020000Z",
            "sample": TRACKING_ID,
            "holds": 12,
            "money": [{"currency": "BHD", "held": "82.800", "in_doubt": "0", "owed": "0"}],
        }
    ]
}
STORY: dict[str, Any] = {
    "run": RUN,
    "failure": {"code": "raised-KeyError", "step": "place-with-restaurant"},
    "done": ["validate-order", "reserve-capacity", "authorize-payment", "plan-fulfilment"],
    "may_stand": ["reserve-capacity", "authorize-payment", "place-with-restaurant"],
    "undone": [],
    "attempts": [
        {
            "step": "place-with-restaurant",
            "direction": "forward",
            "cohort_id": "3714096215048888321",
            "cohort_size": 7,
            "epoch": 1,
            "starts": 1,
            "started_at": "2026-11-23T09:15:08.410000Z",
            "finished_at": "2026-11-23T09:15:08.470000Z",
            "verdict": "poisoned",
            "code": "raised-KeyError",
            "provider": None,
            "detail": {"traceback": "Traceback (most recent call last): ..."},
        }
    ],
    "routing": {
        "cohort_id": "3714096215048888320",
        "weights": {"cost": 1.0, "time": 1.0, "health": 1.0, "load": 1.0},
        "candidates": [
            {
                "channel": "dhow",
                "score": 1.134,
                "fee": 0.549,
                "time": 0.485,
                "health": 0.1,
                "load": 0.0,
                "eta_s": 1453.9,
                "passed_over": None,
            },
            {
                "channel": "swift",
                "score": 1.365,
                "fee": 0.85,
                "time": 0.415,
                "health": 0.1,
                "load": 0.0,
                "eta_s": 1246.2,
                "passed_over": "breaker-open",
            },
        ],
    },
    "acts": [],
    "next": {
        "what": "nothing until a person acts",
        "step": "place-with-restaurant",
        "at": None,
        "attempt": None,
        "attempts_at_most": None,
    },
}
NOTHING: dict[str, Any] = dict.fromkeys(
    ("step", "nth", "cohort_id", "cohort_size", "verdict", "code", "provider", "lane", "why")
)
ATTEMPT: dict[str, Any] = {
    **NOTHING,
    "kind": "step",
    "step": "place-with-restaurant",
    "cohort_id": "3714096215048888321",
    "cohort_size": 7,
}
TRACE: dict[str, Any] = {
    "run": {**RUN, "state": "waiting", "code": None, "attempts": 1, "lane": "provider:kitchens"},
    "failure": None,
    "now": "2026-11-23T09:15:02.600000Z",
    "spans": [
        {
            **NOTHING,
            "kind": "wait",
            "began_at": "2026-11-23T09:15:02.120000Z",
            "ended_at": "2026-11-23T09:15:02.160000Z",
            "lane": "front",
            "why": "accepted",
        },
        {
            **ATTEMPT,
            "began_at": "2026-11-23T09:15:02.310000Z",
            "ended_at": "2026-11-23T09:15:02.350000Z",
            "nth": 1,
            "verdict": "in-doubt",
            "code": "in-doubt",
            "provider": "kitchens",
        },
        {
            **NOTHING,
            "kind": "wait",
            "began_at": "2026-11-23T09:15:02.350000Z",
            "ended_at": None,
            "lane": "provider:kitchens",
            "why": "in-doubt",
        },
    ],
    "acts": [],
    "next": {
        "what": "the step is done",
        "step": "place-with-restaurant",
        "at": "2026-11-23T09:15:08.250000Z",
        "attempt": 2,
        "attempts_at_most": 8,
    },
}
REASON: dict[str, Any] = {"reason": "The kitchen's interface is mended.", "operator": "fatima"}
ACTED: dict[str, Any] = {
    "run_id": RUN_ID,
    "tracking_id": TRACKING_ID,
    "act": "retry",
    "dry_run": False,
    "before": STANDING,
    "after": {**STANDING, "state": "waiting"},
}
IN_BULK: dict[str, Any] = {
    **REASON,
    "act": "retry",
    "filter": {"state": "parked", "step": "place-with-restaurant", "code": "raised-KeyError"},
    "rate_per_s": 20,
}
ACTED_IN_BULK: dict[str, Any] = {
    "act": "retry",
    "dry_run": False,
    "matched": 12,
    "acted": 11,
    "more": False,
    "refused": [
        {"code": "run-ended", "why": "Its order is FAILED.", "runs": 1, "sample": TRACKING_ID},
    ],
}
REFUND: dict[str, Any] = {"amount": "1.500", "reason": "The soup was cold.", "operator": "fatima"}
REFUNDING: dict[str, Any] = {
    "tracking_id": TRACKING_ID,
    "run_id": RUN_ID,
    "amount": "1.500",
    "currency": "BHD",
    "remaining": "5.400",
    "replayed": False,
}
