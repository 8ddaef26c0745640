"""One request and its answer as bytes of HTTP/1.1: what a client library does for us at thirty times the price."""

import re
from dataclasses import dataclass

from app import errors

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+) *\r\n", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+) *\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close *\r\n", re.IGNORECASE)
_TRACKING_ID = re.compile(rb'"tracking_id": *"([0-9A-Za-z_-]{1,64})"')
_LONGEST_HEAD = 16 * 1024


class NotHttp(errors.Unavailable):
    """What came back is no answer that we understand; whether the request had an effect is not known."""

    code = "not-http"


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A complete answer.

    :param closes: whether the other side closes the connection after it
    """

    status: int
    body: bytes
    retry_after_s: float | None
    closes: bool

    @property
    def tracking_id(self) -> str | None:
        found = _TRACKING_ID.search(self.body)
        return found[1].decode() if found else None


def head(host: str, port: int, token: str) -> bytes:
    """The part of a submission that is the same for all orders."""
    return (
        f"POST /v1/orders HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nIdempotency-Key: "
    ).encode()


def request(fixed_head: bytes, key: str, body: bytes) -> bytes:
    """A submission, complete."""
    return b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (fixed_head, key.encode(), len(body), body)


def answer(received: bytes) -> Answer | None:
    """
    Read an answer, None while it is not complete.

    :raises NotHttp: if it can never become one
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        if len(received) > _LONGEST_HEAD or not b"HTTP/1.".startswith(received[:7]):
            raise NotHttp()
        return None
    length = _LENGTH.search(received, 0, end + 2)
    status = received[9:12]
    if length is None or not status.isdigit() or not received.startswith(b"HTTP/1."):
        raise NotHttp()
    begin = end + 4
    if len(received) < begin + int(length[1]):
        return None
    body = received[begin:]
    if status == b"202":
        return Answer(202, body, None, closes=False)
    wait = _RETRY_AFTER.search(received, 0, end + 2)
    closes = _CLOSE.search(received, 0, end + 2) is not None
    return Answer(int(status), body, float(wait[1]) if wait else None, closes)
