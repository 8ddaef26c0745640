"""The partners' route: what it hands on, and how refusals are told."""

import pytest

from app.callbacks.callers import CallbacksClosed
from app.callbacks.service import InvalidCallback, PartnerNotFound
from app.callbacks.signature import SignatureRefused, Signed
from app.database import DatabaseAway
from app.errors import UoopError
from app.limits.service import RateLimited
from app.orders.faults import Fault
from web.submissions import BODY_LIMIT_BYTES

PATH = "/v1/partners/swift/callbacks"
HEADERS = {
    "webhook-id": "msg_1",
    "webhook-timestamp": "1795426872",
    "webhook-signature": "v1,c2ln",
    "Content-Type": "application/json",
}


def test_a_message_is_handed_on_as_it_came(client, platform):
    answer = client.post(PATH, data=b'{ "a":1}', headers=HEADERS)

    assert (answer.status_code, answer.json) == (200, {"reports": 1, "new": 1})
    assert platform.messages.taken == [("swift", Signed("msg_1", "1795426872", "v1,c2ln", b'{ "a":1}'))]


def test_what_is_missing_is_handed_on_as_missing(client, platform):
    client.post(PATH, data=b"{}", headers={"Content-Type": "application/json"})

    assert platform.messages.taken == [("swift", Signed(None, None, None, b"{}"))]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (SignatureRefused(detail="old"), 401, "signature-refused"),
        (PartnerNotFound(), 404, "partner-not-found"),
        (RateLimited(retry_after_s=1.5), 429, "rate-limited"),
        (InvalidCallback([Fault("/events", "missing", "is missing")]), 422, "invalid-callback"),
        (DatabaseAway(), 503, "unavailable"),
        (CallbacksClosed(), 503, "unavailable"),
    ],
)
def test_a_refusal_is_a_problem(client, platform, error: UoopError, status: int, code: str):
    platform.messages.fails = error

    answer = client.post(PATH, data=b"{}", headers=HEADERS)

    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.content_type == "application/problem+json"
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)


@pytest.mark.parametrize(
    ("path", "body", "media_type", "status"),
    [
        (PATH, b" " * (BODY_LIMIT_BYTES + 1), "application/json", 413),
        (PATH, b"{}", "text/plain", 415),
        ("/v1/partners/S%20wift/callbacks", b"{}", "application/json", 404),
    ],
)
def test_what_cannot_be_a_message_asks_nobody(client, platform, path, body, media_type, status):
    answer = client.post(path, data=body, headers={**HEADERS, "Content-Type": media_type})

    assert (answer.status_code, platform.messages.taken) == (status, [])
