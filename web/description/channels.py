"""What the description says of the routes of channels."""

from typing import Any

from flask_smorest import Blueprint

from web.description.operations import READING, answer, problems_of
from web.description.run_examples import REASON
from web.description.runs import SECURITY, WRITING, body

CHANNELS_EXAMPLE: dict[str, Any] = {
    "partners": [
        {
            "partner": "swift",
            "breaker": {
                "partner": "swift",
                "state": "open",
                "failures": 0,
                "probe_at": "2026-11-23T09:15:32.120000Z",
                "openings": 3,
                "changed_at": "2026-11-23T09:15:02.120000Z",
                "forced_until": None,
                "who": None,
                "why": None,
            },
            "calls": 1204,
            "failed": 5,
            "answered_share": 0.996,
            "mean_answer_ms": 38.2,
            "taken_in_hour": 9120,
            "delivered": 4011,
            "on_time": 3709,
            "on_time_share": 0.9246,
        }
    ],
    "weights": {"cost": 1.0, "time": 2.0, "health": 1.0, "load": 1.0},
    "acts": [
        {
            "at": "2026-11-23T08:01:00.250000Z",
            "act": "force-open",
            "partner": "swift",
            "who": "1f2e3d4c/fatima",
            "why": "They told of an upgrade.",
        }
    ],
}
_REASON = {**REASON, "reason": "They told of an upgrade."}
_DONE = {"200": answer("The channels now.", "Channels", CHANNELS_EXAMPLE, [])}

CHANNELS = Blueprint.doc(
    operationId="getChannels",
    summary="How the delivery partners do",
    description="Their breakers, calls and deliveries, what your account weighs, and what was done by hand lately.",
    security=SECURITY,
    responses={"200": answer("The channels.", "Channels", CHANNELS_EXAMPLE, []), **problems_of(*READING)},
)
WEIGH = Blueprint.doc(
    operationId="weighChannels",
    summary="Say what matters when a channel is chosen",
    description="Of your account, to the usual: 0 is nothing, 2 twice as much. It is heeded within seconds.",
    security=SECURITY,
    requestBody=body("Weigh", {**_REASON, "weights": {"time": 2.0}}),
    responses={**_DONE, **problems_of(*WRITING)},
)
FORCE = Blueprint.doc(
    operationId="forceBreaker",
    summary="Hold a partner's breaker open or closed",
    description="For all tenants, with a key of scope admin, until its time is over, whatever the calls say.",
    security=SECURITY,
    requestBody=body("ForceBreaker", {**_REASON, "state": "open", "for_s": 600.0}),
    responses={**_DONE, **problems_of("no-such-path", "unknown-name", *WRITING)},
)
RELEASE = Blueprint.doc(
    operationId="releaseBreaker",
    summary="Leave a breaker to the calls again",
    description="With a key of scope admin.",
    security=SECURITY,
    requestBody=body("ReleaseBreaker", {**_REASON, "reason": "Done early."}),
    responses={**_DONE, **problems_of("no-such-path", "not-forced", *WRITING)},
)
