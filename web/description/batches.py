"""What the description says of batches."""

from typing import Any

from flask_smorest import Blueprint

from web.description import examples
from web.description.operations import HEAD, READING, REF, TRACEPARENT, answer, problems_of

SUBMITTED: dict[str, Any] = {
    "title": "SubmittedBatch",
    "description": "Up to 1,000 orders, each with a key of its own.",
    "type": "object",
    "required": ["orders"],
    "additionalProperties": False,
    "properties": {
        "orders": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1000,
            "items": {
                "type": "object",
                "required": ["idempotency_key", "order"],
                "additionalProperties": False,
                "properties": {
                    "idempotency_key": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": 512,
                        "description": "As the header Idempotency-Key of a single order, in the same scope.",
                    },
                    "order": {"$ref": REF.format(name="SubmittedOrder")},
                },
            },
        }
    },
}
_EXAMPLE = {
    "orders": [
        {"idempotency_key": "lunch-1", "order": examples.ORDER},
        {"idempotency_key": "lunch-2", "order": examples.PLANNED_ORDER},
        {"idempotency_key": "lunch-3", "order": examples.ORDER},
    ]
}
_ANSWER = {
    "results": [
        {"status": 202, "order": examples.ACCEPTED},
        {
            "status": 422,
            "problem": {
                "type": "/problems/idempotency-key-reused",
                "title": "The idempotency key was used with another order",
                "status": 422,
                "detail": "A retry repeats the same order; a new order needs a new key.",
                "code": "idempotency-key-reused",
                "instance": "/v1/orders/batch#/orders/1",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            },
        },
        {
            "status": 409,
            "problem": {
                "type": "/problems/request-in-flight",
                "title": "A request with this key or external_order_id is still being processed",
                "status": 409,
                "detail": "Send the same order again, with the same key, a second later.",
                "code": "request-in-flight",
                "instance": "/v1/orders/batch#/orders/2",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            },
        },
    ]
}
SUBMIT = Blueprint.doc(
    operationId="submitOrders",
    summary="Submit many orders",
    description="Each order is accepted or refused by itself, as if it had come alone: a bad one spoils no other, "
    "and one told 409, request-in-flight, is to be sent again with its key. "
    "A batch has 4 MiB at most and counts against the rates once for each order.",
    security=[{"ApiKey": []}],
    parameters=[TRACEPARENT],
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": REF.format(name="SubmittedBatch")}, "example": _EXAMPLE}
        },
    },
    responses={
        "200": answer("What became of each.", "BatchResults", _ANSWER, []),
        **problems_of(
            *HEAD,
            "malformed-json",
            "invalid-order",
            "body-too-large",
            "unsupported-media-type",
            "overloaded",
            *READING,
        ),
    },
)
