"""What the description says of the routes for capacity and forecasts."""

from typing import Any

from flask_smorest import Blueprint

from web.description.operations import READING, answer, headers, problems_of, query_parameters
from web.description.runs import SECURITY, WRITING, body
from web.instructions import CapacityQuery, CapacitySpan

USAGE_EXAMPLE: dict[str, Any] = {
    "zones": [
        {
            "zone": "26.22,50.58",
            "window_from": "2026-11-23T09:15:00Z",
            "capacity": 120,
            "taken": 84,
            "refused": 3,
            "utilisation": 0.7,
        }
    ],
    "slots": [
        {
            "kind": "kitchen",
            "name": "r-102",
            "window_from": "2026-11-23T09:15:00Z",
            "capacity": 40,
            "taken": 31,
            "held": 2,
            "committed": 29,
            "refused": 3,
            "utilisation": 0.775,
            "full_at": "2026-11-23T09:26:10Z",
            "measured_at": "2026-11-23T09:21:04Z",
        }
    ],
}
LIMITS_EXAMPLE: dict[str, Any] = {
    "usual": 1000,
    "limits": [
        {"kind": "kitchen", "name": "r-102", "window_from": None, "capacity": 40},
        {"kind": "zone", "name": "26.22,50.58", "window_from": "2026-11-23T18:00:00Z", "capacity": 90},
    ],
    "acts": [
        {
            "at": "2026-11-23T09:02:11Z",
            "kind": "zone",
            "name": "26.22,50.58",
            "since": "2026-11-23T18:00:00Z",
            "until": "2026-11-23T18:15:00Z",
            "capacity": 90,
            "who": "0a1b2c3d/fatima",
            "why": "The causeway is closed.",
        }
    ],
}
LIMIT: dict[str, Any] = {
    "kind": "zone",
    "name": "26.22,50.58",
    "capacity": 90,
    "since": "2026-11-23T18:00:00Z",
    "until": "2026-11-23T18:15:00Z",
    "reason": "The causeway is closed.",
    "operator": "fatima",
}
FORECAST_EXAMPLE: dict[str, Any] = {
    "forecast": {
        "made_at": "2026-11-23T02:00:04Z",
        "history_from": "2026-09-01T00:00:00Z",
        "history_until": "2026-11-23T02:00:00Z",
        "backtest": {
            "days": 7,
            "hours": 5040,
            "error": 2.31,
            "naive_error": 3.12,
            "share": 0.18,
            "naive_share": 0.243,
            "covered": 0.81,
        },
        "resources": {
            "growth": 0.2,
            "peak": 1.9,
            "grown": 2.28,
            "compute": 3.42,
            "database": 2.96,
            "cache": 2.74,
        },
        "zones": [
            {
                "zone": "26.22,50.58",
                "hours": [
                    {
                        "at": "2026-11-23T02:00:00Z",
                        "expected": 12.4,
                        "low": 8.0,
                        "high": 17.1,
                        "couriers": 7,
                        "slots": 18,
                    }
                ],
            }
        ],
    }
}


def _drawn(description: str) -> dict[str, Any]:
    content = {"image/svg+xml": {"schema": {"type": "string"}}}
    return {"description": description, "headers": headers(), "content": content}


USAGE = Blueprint.doc(
    operationId="getCapacity",
    summary="What is taken",
    description="Zones, and slots of kitchens, zones, channels and partners, by quarter of an hour; measured every "
    "15 seconds and kept for a week. Needs a key of scope ops, as all that follows.",
    security=SECURITY,
    parameters=query_parameters(CapacityQuery),
    responses={
        "200": answer("What is taken.", "CapacityUsage", USAGE_EXAMPLE, []),
        **problems_of("invalid-query", *READING),
    },
)
PICTURE = Blueprint.doc(
    operationId="drawCapacity",
    summary="What is taken, as a heat map",
    description="Zones from top to bottom, windows from left to right.",
    security=SECURITY,
    parameters=query_parameters(CapacitySpan),
    responses={"200": _drawn("The picture."), **problems_of("invalid-query", *READING)},
)
LIMITS = Blueprint.doc(
    operationId="getCapacityLimits",
    summary="What may be taken",
    description="The limits that you have set, and your latest changes.",
    security=SECURITY,
    responses={
        "200": answer("The limits.", "CapacityLimits", LIMITS_EXAMPLE, []),
        **problems_of(*READING),
    },
)
SET_LIMIT = Blueprint.doc(
    operationId="setCapacityLimit",
    summary="Change what may be taken",
    description="A limit of a kitchen, a zone, a channel or a delivery partner, for all windows or for those of a "
    "time. It holds for orders that come from now on; those that hold a place keep it. Kept with who did it and why.",
    security=SECURITY,
    requestBody=body("SetLimit", LIMIT),
    responses={
        "200": answer("The limits.", "CapacityLimits", LIMITS_EXAMPLE, []),
        **problems_of("odd-windows", "not-limited", *WRITING),
    },
)
FORECAST = Blueprint.doc(
    operationId="getForecast",
    summary="What is expected",
    description="Orders of the coming days by zone and hour, with intervals, what they ask for, and how good such "
    "forecasts were of late.",
    security=SECURITY,
    responses={
        "200": answer("The forecast.", "LatestForecast", FORECAST_EXAMPLE, []),
        **problems_of(*READING),
    },
)
FORECAST_PICTURE = Blueprint.doc(
    operationId="drawForecast",
    summary="What is expected of the next day, as a heat map",
    security=SECURITY,
    responses={"200": _drawn("The picture."), **problems_of(*READING)},
)
