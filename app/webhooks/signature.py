"""
Signatures by the Standard Webhooks specification: HMAC-SHA256 over id, time and body.

Source: https://www.standardwebhooks.com, "Symmetric signatures".
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence

SECRET_BYTES = 32
PREFIX = "whsec_"


def new_secret() -> str:
    """A new secret, as the receiver is told it once."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(message_id: str, timestamp: int, body: bytes, *, keys: Sequence[str]) -> Mapping[str, str]:
    """
    What a receiver needs to know the sender by.

    :param timestamp: of this try, seconds since the epoch
    :param keys: the present secret, and the one before it while receivers change over
    """
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_sign(message_id, timestamp, body, key) for key in keys),
    }


def _sign(message_id: str, timestamp: int, body: bytes, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
