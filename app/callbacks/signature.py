"""
Whether a message is from whom it says: HMAC-SHA256 over its id, its time and its body.

Source: https://www.standardwebhooks.com, "Symmetric signatures".
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app import errors

PREFIX = "whsec_"
TOLERANCE_S = 300
LEAST_BYTES, MOST_BYTES = 24, 64  # of a secret

_VERSION = "v1,"
_ID = re.compile(r"[!-~]{1,200}")
_SECONDS = re.compile(r"[0-9]{1,11}")


class SignatureRefused(errors.Rejected):
    """The message is not signed as it should be."""

    code = "signature-refused"


@dataclass(frozen=True, slots=True)
class Signed:
    """A message as it came: three header fields, None where one is missing, and the body they are about."""

    id: str | None
    timestamp: str | None
    signatures: str | None
    body: bytes


def key(secret: str) -> bytes:
    """
    The key that a secret, `whsec_` and base64, stands for.

    :raises ValueError: if it is no such secret
    """
    try:
        found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        found = b""
    if not secret.startswith(PREFIX) or not LEAST_BYTES <= len(found) <= MOST_BYTES:
        raise ValueError(f"a secret is {PREFIX} and base64 of {LEAST_BYTES} to {MOST_BYTES} bytes")
    return found


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The signature as it stands in `webhook-signature`."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return _VERSION + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def verify(message: Signed, keys: Sequence[bytes], *, now: datetime) -> str:
    """
    Check a message against every key in use, in a time that tells nothing of them.

    :return: the message's id
    :raises SignatureRefused: unless it was signed by one of them, within five minutes from now
    """
    message_id, timestamp, given = message.id or "", message.timestamp or "", message.signatures or ""
    if not (_ID.fullmatch(message_id) and _SECONDS.fullmatch(timestamp) and given):
        raise SignatureRefused(
            detail="Give webhook-id, webhook-timestamp (seconds) and webhook-signature once each."
        )
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_S:
        raise SignatureRefused(detail=f"The timestamp is more than {TOLERANCE_S} s away from now.")
    right = [sign(key, message_id, timestamp, message.body).encode() for key in keys]
    told = [one.encode("latin-1", "replace") for one in given.split(" ")]
    if not any([hmac.compare_digest(one, other) for one in right for other in told]):  # noqa: C419 (all of them)
        raise SignatureRefused(detail="No signature is by a secret in use.")
    return message_id
