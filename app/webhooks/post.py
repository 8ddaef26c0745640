"""One POST to a receiver that nobody trusts: a connection of its own, bounded in time and size, no redirects."""

import asyncio
import math
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache

import h11

from app.webhooks import address
from app.webhooks.address import AddressRefused, Target

TIMEOUT_S = 15.0
MAX_ANSWER = 16_384
RETRY_AFTER_AT_MOST_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """
    What came of it.

    :param status: None if there was no answer
    :param error: why there was none, for the owner of the endpoint to read
    :param retry_after_s: what the receiver asked for
    """

    status: int | None
    took_s: float
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


async def post(
    target: Target, body: bytes, headers: Mapping[str, str], *, timeout_s: float = TIMEOUT_S
) -> Reply:
    """Send it; what the other side does is said by the reply, never raised."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            status, retry_after = await _exchange(target, body, headers)
    except TimeoutError:
        return Reply(
            status=None, took_s=time.monotonic() - started, error=f"no answer within {timeout_s:g} s"
        )
    except AddressRefused as refused:
        return Reply(status=None, took_s=time.monotonic() - started, error=str(refused.data["detail"]))
    except ssl.SSLError as error:
        return Reply(status=None, took_s=time.monotonic() - started, error=f"TLS: {error.reason}")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Reply(status=None, took_s=time.monotonic() - started, error=f"no connection: {reason}")
    except h11.ProtocolError:
        return Reply(status=None, took_s=time.monotonic() - started, error="its answer is not HTTP")
    took_s = time.monotonic() - started
    redirected = "redirects are not followed" if 300 <= status < 400 else None
    return Reply(status=status, took_s=took_s, error=redirected, retry_after_s=_seconds(retry_after))


async def _exchange(target: Target, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None]:
    found = await address.resolve(target)
    reader, writer = await asyncio.open_connection(
        found,
        target.port,
        ssl=_trust() if target.tls else None,
        server_hostname=target.host if target.tls else None,
        limit=MAX_ANSWER,
    )
    try:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_ANSWER)
        request = h11.Request(
            method="POST",
            target=target.path,
            headers=[
                ("Host", target.authority),
                ("Connection", "close"),
                ("Content-Length", str(len(body))),
                *headers.items(),
            ],
        )
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        return await _answer(connection, reader)
    finally:
        writer.transport.abort()  # the answer is all that was wanted; a slow goodbye would be waited for


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, str | None]:
    """The status; the body that may follow is of no interest."""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(MAX_ANSWER))
        elif isinstance(event, h11.Response):
            after = next((value.decode() for name, value in event.headers if name == b"retry-after"), None)
            return event.status_code, after
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed before an answer")


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header (RFC 9110, section 10.2.3), at most a day."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_AT_MOST_S) if math.isfinite(seconds) else None


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()
