"""What the description says of each route, beside what the code itself tells."""

from typing import Any

import msgspec
from flask_smorest import Blueprint

from web import problems
from web.description import examples
from web.problem_kinds import KINDS, Kind
from web.queries import ListQuery, SubmitQuery

REF = "#/components/schemas/{name}"
_TEXT: dict[str, Any] = {"type": "string"}
_UNAVAILABLE = ("internal-error", "unavailable")
HEAD = ("bad-request", "address-too-long", "fields-too-large")
READING = (*HEAD, "unauthenticated", "missing-scope", "rate-limited", *_UNAVAILABLE)

HEADERS: dict[str, dict[str, Any]] = {
    "Location": {"description": "Where it can be followed.", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait before asking again.", "schema": {"type": "integer"}},
    "Idempotency-Replayed": {
        "description": "true when this key had been answered before.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Preference-Applied": {
        "description": "wait and its seconds, when the answer has waited or would have; absent when it came at once.",
        "schema": _TEXT,
    },
    "ETag": {"description": "Strong validator for If-None-Match.", "schema": _TEXT},
    "WWW-Authenticate": {"description": "The challenge of RFC 6750.", "schema": _TEXT},
    "RateLimit": {
        "description": "What is left to this key and to its tenant; absent where nobody is counted.",
        "schema": _TEXT,
    },
    "RateLimit-Policy": {"description": "What they may ask: q requests in w seconds.", "schema": _TEXT},
    "Access-Control-Allow-Origin": {
        "description": "Never sent: scripts of other origins may read nothing. A gateway in front may allow one.",
        "schema": _TEXT,
    },
}
_EVERYWHERE = ("RateLimit", "RateLimit-Policy", "Access-Control-Allow-Origin")
_PROBLEM_HEADERS = {
    401: ["WWW-Authenticate"],
    403: ["WWW-Authenticate"],
    409: ["Retry-After"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}

IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": True,
    "description": "Your own key for this order: 1 to 255 visible ASCII characters, plain or quoted. "
    "A retry with the same key and the same order gives the same answer and makes no second order. While the first "
    "is still being taken in the retry may be told 409, request-in-flight: come again after Retry-After seconds.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 512},
    "example": "6c1f4d0e-5a7b-4f7c-9d43-7d2b7f0c1a11",
}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "The ETag of what you have.",
    "schema": _TEXT,
}
PREFER = {
    "in": "header",
    "name": "Prefer",
    "description": "wait=N (RFC 7240): answer when the order changes, or after N seconds, 60 at most. With "
    "If-None-Match, when it is no longer as you have it; without, when it is no longer as the 202 told.",
    "schema": {"type": "string", "maxLength": 1000},
    "example": "wait=30",
}
LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "description": "The id of the last event that you have.",
    "schema": _TEXT,
    "example": "1",
}
TRACEPARENT = {
    "in": "header",
    "name": "traceparent",
    "description": "The trace that the order belongs to (W3C Trace Context), or each of a batch: all its events carry "
    "the trace's id and its sampled flag, to its end. Without one, or with one that is not valid, an order is a trace "
    "of its own, whose id is the tracking id without dashes.",
    "schema": _TEXT,
    "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}

IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "description": "The ETag that the order must still have, else nothing is done.",
    "schema": _TEXT,
}


def headers(*names: str) -> dict[str, Any]:
    """Describe the header fields of an answer: these, and those that any may have."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, *_EVERYWHERE)}


def answer(description: str, schema: str, example: object, fields: list[str]) -> dict[str, Any]:
    """Describe a good answer."""
    content = {"application/json": {"schema": {"$ref": REF.format(name=schema)}, "example": example}}
    return {"description": description, "headers": headers(*fields), "content": content}


def problems_of(*codes: str) -> dict[str, Any]:
    """Describe the problems of a route, those of one status together."""
    kinds = [KINDS[code] for code in codes]
    return {str(status): _of_status(status, kinds) for status in sorted({kind.status for kind in kinds})}


def _of_status(status: int, kinds: list[Kind]) -> dict[str, Any]:
    here = [kind for kind in kinds if kind.status == status]
    shown = {kind.code: {"summary": kind.title, "value": _problem(kind)} for kind in here}
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}, "examples": shown}}
    return {
        "description": "; ".join(kind.title for kind in here) + ".",
        "headers": headers(*_PROBLEM_HEADERS.get(status, [])),
        "content": content,
    }


def _problem(kind: Kind) -> dict[str, Any]:
    return {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": kind.advice,
        "code": kind.code,
        "instance": "/v1/orders",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }


def query_parameters(query: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """Document the query string from the struct that reads it."""
    (_, components) = msgspec.json.schema_components([query], ref_template=REF)
    return [
        {"in": "query", "name": name, "schema": _without_null(schema)}
        for name, schema in components[query.__name__]["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """An absent parameter is absent: a query string has no null."""
    if "anyOf" not in schema:
        return schema
    return dict(next(each for each in schema["anyOf"] if each != {"type": "null"}))


SUBMIT = Blueprint.doc(
    operationId="submitOrder",
    summary="Submit an order",
    description="Answered as soon as the order is committed; what becomes of it is told at the link. "
    "With validate_only nothing is kept, and no Idempotency-Key is needed: all faults are told, or that there is none.",
    security=[{"ApiKey": []}],
    parameters=[IDEMPOTENCY_KEY, TRACEPARENT, *query_parameters(SubmitQuery)],
    requestBody={
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": REF.format(name="SubmittedOrder")},
                "examples": {
                    "soon": {"summary": "As soon as possible", "value": examples.ORDER},
                    "planned": {"summary": "For a window, by a partner", "value": examples.PLANNED_ORDER},
                },
            }
        },
    },
    responses={
        "200": answer("With validate_only: the order would be accepted.", "Validated", {"valid": True}, []),
        "202": answer(
            "The order is committed.",
            "AcceptedOrder",
            examples.ACCEPTED,
            ["Location", "Retry-After", "Idempotency-Replayed"],
        ),
        **problems_of(
            *HEAD,
            "malformed-json",
            "invalid-query",
            "idempotency-key-missing",
            "idempotency-key-malformed",
            "unauthenticated",
            "missing-scope",
            "rate-limited",
            "external-order-id-taken",
            "request-in-flight",
            "body-too-large",
            "unsupported-media-type",
            "invalid-order",
            "idempotency-key-reused",
            "rejected",
            "internal-error",
            "unavailable",
            "overloaded",
        ),
    },
)
LIST = Blueprint.doc(
    operationId="listOrders",
    summary="List orders",
    description="Newest first. All given filters must hold; created_from is inclusive, created_until is not.",
    security=[{"ApiKey": []}],
    parameters=query_parameters(ListQuery),
    responses={
        "200": answer("Part of the list.", "OrderList", examples.LIST, []),
        **problems_of("invalid-query", *READING),
    },
)
ORDER = Blueprint.doc(
    operationId="getOrder",
    summary="Follow an order",
    description="Answers 200 while the order is pending and after it failed; Retry-After tells when it is worth "
    "asking again. With Prefer: wait=N it answers as soon as the order changes; a process in which too many wait "
    "answers at once.",
    security=[{"ApiKey": []}],
    parameters=[IF_NONE_MATCH, PREFER],
    responses={
        "200": answer(
            "The order.", "Order", examples.CONFIRMED, ["ETag", "Retry-After", "Preference-Applied"]
        ),
        "304": {
            "description": "You have it already.",
            "headers": headers("ETag", "Retry-After", "Preference-Applied"),
        },
        **problems_of("order-not-found", "no-such-path", *READING),
    },
)
CANCEL = Blueprint.doc(
    operationId="cancelOrder",
    summary="Cancel an order",
    description="Everything that has been begun is undone. Once a delivery partner has the order, he is asked to "
    "give it back: the order stays as it is until he has, and its `cancellation` tells if he does not. Once the "
    "courier has it, it is too late.",
    security=[{"ApiKey": []}],
    parameters=[IF_MATCH],
    responses={
        "202": answer(
            "It is wished; the order tells what becomes of it.",
            "Cancelling",
            examples.CANCELLING,
            ["Location", "Retry-After"],
        ),
        **problems_of(
            "order-not-found",
            "no-such-path",
            "past-pivot",
            "run-being-undone",
            "run-under-way",
            "run-ended",
            "precondition-failed",
            *READING,
        ),
    },
)
EVENTS = Blueprint.doc(
    operationId="streamEvents",
    summary="Follow an order's events",
    description="Server-Sent Events: the order's events so far, then each as it happens; `id` is the event's "
    "sequence, `event` its type, `data` a CloudEvent. The stream ends some seconds after the order's last status, "
    "after a quarter of an hour, and at once where nobody can wait: a client comes again with Last-Event-ID. Needs "
    "the scope events:read or orders:read.",
    security=[{"ApiKey": []}],
    parameters=[LAST_EVENT_ID],
    responses={
        "200": {
            "description": "The stream.",
            "headers": headers(),
            "content": {"text/event-stream": {"schema": _TEXT, "example": examples.STREAM}},
        },
        "204": {
            "description": "You have all, and nothing more is to come.",
            "headers": headers(),
        },
        **problems_of("order-not-found", "no-such-path", *READING),
    },
)
TIMELINE = Blueprint.doc(
    operationId="getTimeline",
    summary="Read an order's history",
    description="Everything that happened to the order, oldest first.",
    security=[{"ApiKey": []}],
    responses={
        "200": answer("The history.", "Timeline", examples.TIMELINE, []),
        **problems_of("order-not-found", "no-such-path", *READING),
    },
)
HEALTH = Blueprint.doc(
    operationId="getHealth",
    summary="Is the process alive?",
    description="Asks nobody else.",
    security=[],
    responses={"200": answer("It is.", "Health", {"status": "alive"}, []), **problems_of("internal-error")},
)
READINESS = Blueprint.doc(
    operationId="getReadiness",
    summary="Can orders be taken?",
    description="Asks every dependency; a problem names those that are missing.",
    security=[],
    responses={
        "200": answer(
            "They can.",
            "Readiness",
            {"status": "ready", "dependencies": {"postgres": True, "redis": True}},
            [],
        ),
        **problems_of("not-ready", *_UNAVAILABLE),
    },
)
METRICS = Blueprint.doc(
    operationId="getMetrics",
    summary="Metrics for Prometheus",
    description="In the text exposition format.",
    security=[],
    responses={
        "200": {
            "description": "The metrics.",
            "headers": headers(),
            "content": {"text/plain": {"schema": _TEXT}},
        },
        **problems_of(*_UNAVAILABLE),
    },
)
