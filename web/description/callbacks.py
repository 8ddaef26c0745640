"""What the description says of the partners' route."""

from typing import Any

from flask_smorest import Blueprint

from app.callbacks.formats import FORMATS
from app.callbacks.signature import TOLERANCE_S
from web.description.operations import HEAD, REF, headers, problems_of

SIGNATURE: dict[str, Any] = {
    "type": "apiKey",
    "in": "header",
    "name": "webhook-signature",
    "description": "As Standard Webhooks says: `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`, by a "
    "secret that you share with the platform; several by spaces. While a secret is being changed either is good.",
}
_ID = {
    "in": "header",
    "name": "webhook-id",
    "required": True,
    "description": "The message's own id, the same when it is sent again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    "example": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
}
_TIMESTAMP = {
    "in": "header",
    "name": "webhook-timestamp",
    "required": True,
    "description": f"When it is sent, in seconds since 1970; at most {TOLERANCE_S} s from now.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,11}$"},
    "example": "1795426872",
}

TELL = Blueprint.doc(
    operationId="tellOfDeliveries",
    summary="Tell how deliveries go on",
    description="For delivery partners and restaurants, each in the format agreed upon. Answered when it is kept; what "
    "it means is decided afterwards. The same event again changes nothing, and late or early ones do no harm. On any "
    "other answer than 200 send the message again later.",
    security=[{"PartnerSignature": []}],
    parameters=[_ID, _TIMESTAMP],
    requestBody={
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [{"$ref": REF.format(name=each.body.__name__)} for each in FORMATS.values()]
                },
                "examples": {
                    each.name: {"summary": f"Format {each.name}", "value": each.example}
                    for each in FORMATS.values()
                },
            }
        },
    },
    responses={
        "200": {
            "description": "It is kept.",
            "headers": headers(),
            "content": {
                "application/json": {
                    "schema": {"$ref": REF.format(name="Received")},
                    "example": {"reports": 1, "new": 1},
                }
            },
        },
        **problems_of(
            *HEAD,
            "malformed-json",
            "signature-refused",
            "partner-not-found",
            "no-such-path",
            "body-too-large",
            "unsupported-media-type",
            "invalid-callback",
            "rate-limited",
            "internal-error",
            "unavailable",
        ),
    },
)
