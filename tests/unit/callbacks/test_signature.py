"""Who may be believed: a table of signatures."""

import base64
from datetime import UTC, datetime

import pytest

from app.callbacks import signature
from app.callbacks.signature import TOLERANCE_S, SignatureRefused, Signed

NOW = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)
OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
SECOND = int(NOW.timestamp())


def signed(*keys: bytes, at: int = SECOND, body: bytes = b"{}", message_id: str = "msg_1") -> Signed:
    told = " ".join(signature.sign(key, message_id, str(at), body) for key in keys)
    return Signed(message_id, str(at), told, body)


def test_the_example_of_standard_webhooks_is_right() -> None:
    key = signature.key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'

    made = signature.sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "message",
    [
        signed(NEW),
        signed(OLD),
        signed(OTHER, NEW),
        signed(NEW, at=SECOND - TOLERANCE_S),
        signed(NEW, at=SECOND + TOLERANCE_S),
    ],
    ids=["new", "old", "one of two", "a little old", "a little early"],
)
def test_a_message_by_a_secret_in_use_is_believed(message: Signed) -> None:
    assert signature.verify(message, [NEW, OLD], now=NOW) == "msg_1"


@pytest.mark.parametrize(
    "message",
    [
        signed(OTHER),
        signed(),
        signed(NEW, at=SECOND - TOLERANCE_S - 1),
        signed(NEW, at=SECOND + TOLERANCE_S + 1),
        Signed("msg_1", str(SECOND), signed(NEW).signatures, b"{ }"),
        Signed("msg_2", str(SECOND), signed(NEW).signatures, b"{}"),
        Signed("msg_1", str(SECOND + 1), signed(NEW).signatures, b"{}"),
        Signed("msg_1", str(SECOND), (signed(NEW).signatures or "").removeprefix("v1,"), b"{}"),
        Signed("msg_1", str(SECOND), (signed(NEW).signatures or "").replace("v1", "v1a"), b"{}"),
        Signed(None, str(SECOND), signed(NEW).signatures, b"{}"),
        Signed("msg_1", None, signed(NEW).signatures, b"{}"),
        Signed("msg_1", str(SECOND), None, b"{}"),
        Signed("msg_1", "soon", signed(NEW).signatures, b"{}"),
        Signed("msg_1", "٣" * 10, signed(NEW).signatures, b"{}"),
        Signed("msg_1", "9" * 400, signed(NEW).signatures, b"{}"),
        Signed("msg_1", str(SECOND), "v1,\xff\u20ac", b"{}"),
    ],
)
def test_any_other_is_not(message: Signed) -> None:
    with pytest.raises(SignatureRefused):
        signature.verify(message, [NEW, OLD], now=NOW)


@pytest.mark.parametrize(
    "secret",
    ["", "hush", "whsec_", "whsec_????", "whsec_" + base64.b64encode(b"short").decode(), "wh" + "A" * 44],
)
def test_what_is_no_secret_is_told_without_it(secret: str) -> None:
    with pytest.raises(ValueError, match="a secret is whsec_ and base64 of 24 to 64 bytes"):
        signature.key(secret)
