"""
For receivers of webhooks: whether what came is from the platform (https://www.standardwebhooks.com).

The standard library and nothing else of this project, so that the file can be taken along.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

TOLERANCE_S = 300


class NotVerified(Exception):
    """It is not signed by the webhook's secret, or not of these minutes: answer 400 and do nothing."""


def verified(headers: Mapping[str, str], body: bytes, secret: str) -> dict[str, Any]:
    """
    The event that was posted, a CloudEvent 1.0.

    :param headers: of the request, names in any case
    :param body: as it came, byte by byte
    :param secret: `whsec_...`, as the platform has told it
    :raises NotVerified: when it is somebody else's
    """
    told = {name.lower(): value for name, value in headers.items()}
    id, sent_at, signatures = (told.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not sent_at.isdecimal() or abs(time.time() - int(sent_at)) > TOLERANCE_S:
        raise NotVerified("webhook-timestamp is missing, or minutes away from now")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    right = b"v1," + base64.b64encode(digest)
    if not any(hmac.compare_digest(right, each.encode()) for each in signatures.split(" ")):
        raise NotVerified("no signature is by this secret")
    event: dict[str, Any] = json.loads(body)
    return event
