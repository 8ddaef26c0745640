"""What the description says of the switchboard's routes."""

from typing import Any

from flask_smorest import Blueprint

from web.description.operations import READING, answer, problems_of
from web.description.run_examples import REASON
from web.description.runs import SECURITY, WRITING, body

PAUSED_EXAMPLE: dict[str, Any] = {
    "pauses": [
        {
            "kind": "partner",
            "name": "benefit",
            "since": "2026-11-23T09:15:02.120000Z",
            "until": "2026-11-23T10:15:02.120000Z",
            "who": "1f2e3d4c/fatima",
            "why": "They change their certificates.",
            "runs": 412,
        }
    ],
    "acts": [
        {
            "at": "2026-11-23T09:15:02.120000Z",
            "act": "pause",
            "kind": "partner",
            "name": "benefit",
            "who": "1f2e3d4c/fatima",
            "why": "They change their certificates.",
        }
    ],
}
_REASON = {**REASON, "reason": "They change their certificates."}

PAUSED = Blueprint.doc(
    operationId="getPauses",
    summary="What is paused",
    description="By whom, why and until when, with the runs of yours that wait, and the latest pauses and resumes.",
    security=SECURITY,
    responses={"200": answer("What is paused.", "Paused", PAUSED_EXAMPLE, []), **problems_of(*READING)},
)
PAUSE = Blueprint.doc(
    operationId="pause",
    summary="Hold back a saga, a step or a partner",
    description="""\
For all tenants, with a key of scope admin. What is being done at this moment is finished; then

- saga: its runs neither go on nor are undone;
- step: it is neither done nor undone;
- partner: a payment provider or restaurant system is not called at all, and orders that need it wait; a delivery
  partner is passed over, and waited for only where he may have the order already.

Deadlines go on: an order that still waits before the pivot when its time is over is given up as too late and undone,
as far as what undoes it is not paused itself. Past the pivot it waits for the resume. To pause again changes the end
and the reason.""",
    security=SECURITY,
    requestBody=body("SwitchPause", {**_REASON, "for_s": 3600}),
    responses={
        "200": answer("What is paused now.", "Paused", PAUSED_EXAMPLE, []),
        **problems_of("no-such-path", "unknown-name", *WRITING),
    },
)
RESUME = Blueprint.doc(
    operationId="resume",
    summary="Let go on what was held back",
    description="With a key of scope admin. What waits is due at once.",
    security=SECURITY,
    requestBody=body("SwitchPause", {**_REASON, "reason": "Their new certificates work."}),
    responses={
        "200": answer("What is paused now.", "Paused", {"pauses": [], "acts": PAUSED_EXAMPLE["acts"]}, []),
        **problems_of("no-such-path", "not-paused", *WRITING),
    },
)
