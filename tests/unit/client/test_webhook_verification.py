"""A receiver believes what the platform has signed, and nothing else."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from infra.client.webhooks import TOLERANCE_S, NotVerified, verified

SECRET, OTHER = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
EVENT = {"id": "17", "type": "order.confirmed", "sequence": 2}
BODY = json.dumps(EVENT).encode()


def posted(secret: str = SECRET, *, ago_s: float = 0, **changes: str) -> dict[str, str]:
    """The header fields by which somebody who has the secret sends the body."""
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    signed = Webhook(secret).sign("17", at, BODY.decode())
    own = {"Webhook-Id": "17", "Webhook-Timestamp": str(int(at.timestamp())), "Webhook-Signature": signed}
    return own | {name.replace("_", "-"): value for name, value in changes.items()}


def test_what_is_signed_is_the_event() -> None:
    assert verified(posted(), BODY, SECRET) == EVENT


def test_while_a_secret_is_replaced_both_are_believed() -> None:
    headers = posted()
    headers["Webhook-Signature"] = posted(OTHER)["Webhook-Signature"] + " " + headers["Webhook-Signature"]

    assert verified(headers, BODY, SECRET) == verified(headers, BODY, OTHER) == EVENT


@pytest.mark.parametrize(
    ("secret", "ago_s", "changes"),
    [
        (OTHER, 0, {}),
        (SECRET, 0, {"Webhook_Id": "18"}),
        (SECRET, 0, {"Webhook_Timestamp": ""}),
        (SECRET, 0, {"Webhook_Timestamp": "\u0661"}),
        (SECRET, 0, {"Webhook_Signature": ""}),
        (SECRET, 0, {"Webhook_Signature": "v1,\u00e9"}),
        (SECRET, TOLERANCE_S + 60, {}),
        (SECRET, -TOLERANCE_S - 60, {}),
    ],
)
def test_what_is_not_signed_so_is_refused(secret: str, ago_s: float, changes: dict[str, str]) -> None:
    headers = posted(secret, ago_s=ago_s, **changes)

    with pytest.raises(NotVerified):
        verified(headers, BODY, SECRET)


@pytest.mark.parametrize(("signed", "body"), [(True, BODY + b" "), (False, BODY)])
def test_another_body_or_none_to_vouch_for_it_is_refused(signed: bool, body: bytes) -> None:
    with pytest.raises(NotVerified):
        verified(posted() if signed else {}, body, SECRET)
