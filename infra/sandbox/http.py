"""
HTTP/1.1 as small as the sandbox needs it: kept-alive connections, Content-Length bodies, nothing else.

Requests of one connection are answered one after the other; a connection that waits holds up no other.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import NamedTuple

_HEAD_CAP_BYTES = 16 * 1024
_BODY_CAP_BYTES = 8 * 1024 * 1024
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_TCHAR = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class Request(NamedTuple):
    """A whole request; `target` as sent, header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Response(NamedTuple):
    """An answer whose body is at hand, or comes in chunks."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    chunks: Iterator[bytes] | None = None


class NoAnswer(NamedTuple):
    """Say nothing: hang up at once, or leave the client waiting until he does."""

    hang_up: bool


Reply = Response | NoAnswer
Handler = Callable[[Request], Reply | Awaitable[Reply]]


class _BadRequestError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.response = Response(status, f'{{"reason":"{reason}"}}'.encode())


class _Head(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    length: int


class HttpProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, handler: Handler, open_connections: set[HttpProtocol]) -> None:
        self._handler = handler
        self._open_connections = open_connections
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._busy = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 narrows asyncio's type
        self._transport = transport
        self._open_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        self._open_connections.discard(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._busy and self._transport and len(self._buffer) > _BODY_CAP_BYTES:
            self._transport.close()  # a client that sends on and on without reading
        self._serve()

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def _serve(self) -> None:
        """Answer the whole requests in the buffer, up to one that has to wait."""
        while not self._busy and self._transport and not self._transport.is_closing():
            try:
                request = self._next_request()
            except _BadRequestError as error:
                self._write(error.response)
                self.close()
                return
            if request is None:
                return
            self._answer(request)

    def _next_request(self) -> Request | None:
        head = self._head
        if head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end > _HEAD_CAP_BYTES or (end < 0 and len(self._buffer) > _HEAD_CAP_BYTES):
                raise _BadRequestError(431, "head too large")
            if end < 0:
                return None
            head = self._head = _parse_head(self._buffer[:end].decode("latin-1"))
            del self._buffer[: end + 4]
            if head.headers.get("expect", "").lower() == "100-continue" and self._transport:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(self._buffer) < head.length:
            return None
        body = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        self._head = None
        return Request(head.method, head.target, head.headers, body)

    def _answer(self, request: Request) -> None:
        try:
            reply = self._handler(request)
        except Exception:  # noqa: BLE001 one broken request must not end the service
            reply = _broken()
        if isinstance(reply, Response) and reply.chunks is None:
            self._write(reply)
            if request.headers.get("connection", "").lower() == "close":
                self.close()
        elif isinstance(reply, NoAnswer):
            self._say_nothing(reply)
        else:
            self._busy = True
            self._task = asyncio.get_running_loop().create_task(self._answer_later(reply))

    async def _answer_later(self, reply: Response | Awaitable[Reply]) -> None:
        """The work goes on when the client has hung up meanwhile: it asked for it."""
        try:
            later = reply if isinstance(reply, Response) else await reply
        except Exception:  # noqa: BLE001 as above
            later = _broken()
        if isinstance(later, NoAnswer):
            self._say_nothing(later)
            return
        if later.chunks is None:
            self._write(later)
        else:
            await self._stream(later, later.chunks)
        self._busy = False
        self._serve()

    def _say_nothing(self, reply: NoAnswer) -> None:
        self._busy = True
        if reply.hang_up:
            self.close()

    def _write(self, response: Response) -> None:
        if self._transport:
            head = (
                f"{_STATUS_LINES[response.status]}Content-Type: {response.content_type}\r\n"
                f"Content-Length: {len(response.body)}\r\n\r\n"
            )
            self._transport.write(head.encode("latin-1") + response.body)

    async def _stream(self, response: Response, chunks: Iterator[bytes]) -> None:
        if self._transport:
            head = (
                f"{_STATUS_LINES[response.status]}Content-Type: {response.content_type}\r\n"
                "Transfer-Encoding: chunked\r\n\r\n"
            )
            self._transport.write(head.encode("latin-1"))
        for chunk in chunks:
            await self._writable.wait()
            if self._transport is None:
                return
            self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await asyncio.sleep(0)  # others are served between two chunks
        if self._transport:
            self._transport.write(b"0\r\n\r\n")


def _parse_head(text: str) -> _Head:
    lines = text.split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1" or not words[1].startswith("/"):
        raise _BadRequestError(400, "not an HTTP/1.1 request")
    headers = dict[str, str]()
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or not _TCHAR.issuperset(name):
            raise _BadRequestError(400, "bad header")
        if name == "content-length" and name in headers:
            raise _BadRequestError(400, "two lengths")
        headers[name] = value.strip(" \t")
    if "transfer-encoding" in headers:
        raise _BadRequestError(411, "length required")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or len(length) > 12:
        raise _BadRequestError(400, "bad length")
    if int(length) > _BODY_CAP_BYTES:
        raise _BadRequestError(413, "body too large")
    return _Head(words[0], words[1], headers, int(length))


def _broken() -> Response:
    sys.stderr.write(traceback.format_exc())
    return Response(500, b'{"reason":"broken"}')
