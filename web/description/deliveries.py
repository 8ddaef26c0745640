"""What the description says of the operators' routes about deliveries."""

from typing import Any

from flask_smorest import Blueprint

from web.delivery_instructions import ReportQuery
from web.description import delivery_examples as examples
from web.description.operations import READING, REF, answer, problems_of, query_parameters

SECURITY: list[dict[str, list[str]]] = [{"ApiKey": []}]
WRITING = ("malformed-json", "invalid-act", "body-too-large", "unsupported-media-type", *READING)


def body(schema: str, example: object) -> dict[str, Any]:
    """Describe what is sent."""
    content = {"application/json": {"schema": {"$ref": REF.format(name=schema)}, "example": example}}
    return {"required": True, "content": content}


REPORTS = Blueprint.doc(
    operationId="listReports",
    summary="What was reported of deliveries",
    description="Newest first, with a key of scope ops: all, those of one order, or of one fate.",
    security=SECURITY,
    parameters=query_parameters(ReportQuery),
    responses={
        "200": answer("The reports.", "ReportList", examples.REPORTS, []),
        **problems_of("invalid-query", *READING),
    },
)
PARKED = Blueprint.doc(
    operationId="getParkedReports",
    summary="Reports that wait for a person",
    description="Those that cannot be right, by reason and reporter.",
    security=SECURITY,
    responses={
        "200": answer("The groups.", "ParkedReports", examples.PARKED, []),
        **problems_of(*READING),
    },
)
SETTLE = Blueprint.doc(
    operationId="settleReports",
    summary="Deal with parked reports",
    description="apply: they are taken up again, as what was impossible may be possible now. "
    "dismiss: they are left alone for good. Kept with who did it and why.",
    security=SECURITY,
    requestBody=body("SettleReports", examples.SETTLE),
    responses={
        "200": answer("How many were parked.", "Settled", examples.SETTLED, []),
        **problems_of(*WRITING),
    },
)
MARK = Blueprint.doc(
    operationId="markOrder",
    summary="Move an order by hand",
    description="Forward, as a report of its partner would; kept as a report with who did it and why.",
    security=SECURITY,
    requestBody=body("MarkOrder", examples.MARK),
    responses={
        "200": answer("From where to where.", "Marked", examples.MARKED, []),
        **problems_of("order-not-found", "no-such-path", "move-not-allowed", *WRITING),
    },
)
REROUTE = Blueprint.doc(
    operationId="rerouteOrder",
    summary="Give an order to another partner",
    description="Before it is picked up: the present partner is recalled, then the next one is asked. "
    "The answer names the run that does it.",
    security=SECURITY,
    requestBody=body("RerouteOrder", examples.REROUTE),
    responses={
        "200": answer("The run.", "Rerouted", examples.REROUTED, []),
        **problems_of("order-not-found", "no-such-path", "not-before-pickup", "run-under-way", *WRITING),
    },
)
REFUSE = Blueprint.doc(
    operationId="refuseOrder",
    summary="Take an order from a courier of the own fleet",
    description="Before it is picked up: he will not bring it, and is not asked for it again. The next plan of the "
    "pool, within a minute, gives it to another courier, or, where none is left that may have it, to a partner.",
    security=SECURITY,
    requestBody=body("RefuseOrder", examples.REFUSE),
    responses={
        "200": answer("From whom it is taken.", "Refused", examples.REFUSED, []),
        **problems_of("order-not-found", "no-such-path", "not-before-pickup", "not-with-courier", *WRITING),
    },
)
COURIERS = Blueprint.doc(
    operationId="listCouriers",
    summary="Your own couriers",
    security=SECURITY,
    responses={
        "200": answer("All of them, by id.", "Couriers", examples.COURIERS, []),
        **problems_of(*READING),
    },
)
REGISTER = Blueprint.doc(
    operationId="registerCouriers",
    summary="Make couriers known",
    description="Adds them, or brings those who are known to what is said now; the others stay. Plans heed it from "
    "then on. Who goes off duty has an `on_until` that is past.",
    security=SECURITY,
    requestBody=body("Couriers", examples.COURIERS),
    responses={
        "200": answer("All of them, by id.", "Couriers", examples.COURIERS, []),
        **problems_of(*WRITING),
    },
)
