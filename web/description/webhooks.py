"""What the description says of the webhooks' routes."""

from typing import Any

from flask_smorest import Blueprint

from web.description.examples import TRACKING_ID
from web.description.operations import READING, answer, headers, problems_of, query_parameters
from web.description.runs import SECURITY, WRITING, body
from web.webhook_instructions import WebhookDeliveryQuery

NEW: dict[str, Any] = {
    "url": "https://shop.example/hooks/uoop",
    "types": ["order.confirmed", "order.failed"],
    "description": "The shop's own",
}
EXAMPLE: dict[str, Any] = {
    **NEW,
    "id": "018f3b2c-90aa-7c31-8d02-5b1c2d3e4f50",
    "state": "enabled",
    "reason": None,
    "failures": 0,
    "failing_since": None,
    "old_secret_until": None,
    "created_at": "2026-11-23T09:15:02.120000Z",
    "updated_at": "2026-11-23T09:15:02.120000Z",
}
WITH_SECRET: dict[str, Any] = {**EXAMPLE, "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}
DISABLED: dict[str, Any] = {**EXAMPLE, "state": "disabled", "reason": "owner"}
TESTED: dict[str, Any] = {
    "event_id": "4611686018427387904",
    "taken": False,
    "status": 404,
    "took_ms": 38,
    "error": None,
}
LISTED: dict[str, Any] = {
    "deliveries": [
        {
            "place": 73114,
            "event_id": "80233",
            "type": "order.confirmed",
            "order_id": TRACKING_ID,
            "sequence": 2,
            "state": "waiting",
            "tries": 1,
            "due_at": "2026-11-23T09:15:07.900000Z",
            "status": 503,
            "took_ms": 41,
            "error": None,
            "answered_at": "2026-11-23T09:15:02.620000Z",
            "delivered_at": None,
        }
    ],
    "next_cursor": None,
}
_NOT_FOUND = ("webhook-not-found", "no-such-path")

CREATE = Blueprint.doc(
    operationId="createWebhook",
    summary="Have events posted to you",
    description="""\
With a key of scope ops. Every event of the named types is posted to the address, signed as Standard Webhooks
says with the secret of the answer, which is shown this once.

The address is https on the public internet, port 443 or 8443, without name and password. Events are sent
from a second after its creation on.""",
    security=SECURITY,
    requestBody=body("NewWebhook", NEW),
    responses={
        "201": answer("The webhook with its secret.", "WebhookWithSecret", WITH_SECRET, ["Location"]),
        **problems_of("webhook-address-refused", "too-many-webhooks", "webhooks-busy", *WRITING),
    },
)
LIST = Blueprint.doc(
    operationId="listWebhooks",
    summary="List webhooks",
    description="All of them, oldest first, with a key of scope events:read.",
    security=SECURITY,
    responses={
        "200": answer("The webhooks.", "WebhookList", {"webhooks": [EXAMPLE]}, []),
        **problems_of(*READING),
    },
)
WEBHOOK = Blueprint.doc(
    operationId="getWebhook",
    summary="Read a webhook",
    description="With a key of scope events:read.",
    security=SECURITY,
    responses={
        "200": answer("The webhook.", "Webhook", EXAMPLE, []),
        **problems_of(*_NOT_FOUND, *READING),
    },
)
CHANGE = Blueprint.doc(
    operationId="changeWebhook",
    summary="Change a webhook",
    description="With a key of scope ops. What is left out stays; a new address begins without failures.",
    security=SECURITY,
    requestBody=body("ChangeWebhook", {"types": []}),
    responses={
        "200": answer("The webhook.", "Webhook", {**EXAMPLE, "types": []}, []),
        **problems_of(*_NOT_FOUND, "webhook-address-refused", "webhooks-busy", *WRITING),
    },
)
DELETE = Blueprint.doc(
    operationId="deleteWebhook",
    summary="Delete a webhook",
    description="With a key of scope ops. What has not been delivered is not sent any more.",
    security=SECURITY,
    responses={
        "204": {"description": "It is gone.", "headers": headers()},
        **problems_of(*_NOT_FOUND, *READING),
    },
)
ROTATE = Blueprint.doc(
    operationId="rotateWebhookSecret",
    summary="Get a new secret",
    description="With a key of scope ops. Until the overlap is over each event carries a signature by either secret.",
    security=SECURITY,
    requestBody=body("RotateSecret", {"overlap_s": 86400}),
    responses={
        "200": answer(
            "The webhook with its new secret.",
            "WebhookWithSecret",
            {**WITH_SECRET, "old_secret_until": "2026-11-24T09:15:02.120000Z"},
            [],
        ),
        **problems_of(*_NOT_FOUND, *WRITING),
    },
)
DISABLE = Blueprint.doc(
    operationId="disableWebhook",
    summary="Send nothing for now",
    description="With a key of scope ops. What waits goes on waiting; what happens meanwhile is not kept for it, "
    "but can be replayed.",
    security=SECURITY,
    responses={
        "200": answer("The webhook.", "Webhook", DISABLED, []),
        **problems_of(*_NOT_FOUND, *READING),
    },
)
ENABLE = Blueprint.doc(
    operationId="enableWebhook",
    summary="Send again",
    description="With a key of scope ops. What waited is sent; its earlier failures count no more.",
    security=SECURITY,
    responses={"200": answer("The webhook.", "Webhook", EXAMPLE, []), **problems_of(*_NOT_FOUND, *READING)},
)
TEST = Blueprint.doc(
    operationId="testWebhook",
    summary="Send a test event",
    description="With a key of scope ops. An event of type webhook.test is posted at once, also to a disabled webhook, "
    "and the answer told; it is not tried again and stands in no log.",
    security=SECURITY,
    responses={
        "200": answer("What was answered.", "Tested", TESTED, []),
        **problems_of(*_NOT_FOUND, "webhooks-busy", "webhook-secret-unreadable", *READING),
    },
)
DELIVERIES = Blueprint.doc(
    operationId="listWebhookDeliveries",
    summary="What was sent, and what was answered",
    description="The last seven days' events, newest first, each with its latest answer. With a key of scope "
    "events:read.",
    security=SECURITY,
    parameters=query_parameters(WebhookDeliveryQuery),
    responses={
        "200": answer("Part of the list.", "WebhookDeliveries", LISTED, []),
        **problems_of(*_NOT_FOUND, "invalid-query", *READING),
    },
)
REPLAY = Blueprint.doc(
    operationId="replayWebhook",
    summary="Have events sent again",
    description="""\
With a key of scope ops. One event by its place, or those of a time, an order or a type, of the last seven days and of
the types that the webhook takes; delivered ones are sent again under their ids, and each has all its tries.

At most 10,000 in one request; `next_after` then is the `after` of the next.""",
    security=SECURITY,
    requestBody=body(
        "ReplayEvents", {"since": "2026-11-23T09:00:00Z", "until": "2026-11-23T09:30:00Z", "after": 0}
    ),
    responses={
        "202": answer(
            "How many will be sent again.", "Replayed", {"events": 10_000, "next_after": 73_114}, []
        ),
        **problems_of(*_NOT_FOUND, "invalid-query", *WRITING),
    },
)
