"""
The hot lane: an ASGI module in front of Flask that accepts orders without a thread per request.

It knows only the way on which nothing is wrong. Whatever is not a good submission, and every other route, is
handed to Flask, which alone knows how errors are told. Without it nothing is lost but speed.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any
from urllib.parse import quote_from_bytes

from a2wsgi import WSGIMiddleware
from flask import Flask

from app import errors
from app.orders import document
from app.orders.group_commit import Tell, Told, tell_futures
from app.orders.model import Accepted, NewOrder
from web import authentication, observation, representations, submissions
from web.authentication import ORDERS_WRITE
from web.services import Services

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
SubmitFor = Callable[[NewOrder, object, Tell], None]

PATH = "/v1/orders"
_ASCII = bytes(range(128))
_FIXED_HEADERS = [
    (b"content-type", b"application/json"),
    *((name.lower().encode(), value.encode()) for name, value in observation.SECURITY_HEADERS),
]


class HotLane:
    """An ASGI application."""

    def __init__(self, app: Flask, services: Services, submit_for: SubmitFor, *, threads: int) -> None:
        """:param threads: for the requests that Flask answers"""
        self._rest: Any = WSGIMiddleware(app, workers=threads)  # type: ignore[arg-type]
        self._services, self._submit_for = services, submit_for
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        is_submission = scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST"
        if is_submission and self._services.shedding() is None:
            await self._submit(scope, receive, send)
        else:
            await self._rest(_with_ascii_query(scope), _as_coroutine(receive), send)

    async def _submit(self, scope: Message, receive: Receive, send: Send) -> None:
        started = perf_counter()
        body = await _read(receive)
        new = self._read_order(scope, body) if len(body) <= submissions.BODY_LIMIT_BYTES else None
        accepted = await self._accept(new) if new else None
        if accepted is None:
            await self._rest(_with_length(_with_ascii_query(scope), body), _replaying(body), send)
            return
        answer, headers = representations.accepted_parts(accepted)
        own = [(name.lower().encode(), value.encode()) for name, value in headers]
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 202, "headers": [*own, length, *_FIXED_HEADERS]})
        await send({"type": "http.response.body", "body": answer})
        observation.count("POST", PATH, 202, perf_counter() - started)

    def _read_order(self, scope: Message, body: bytes) -> NewOrder | None:
        """The order, or None if anything at all is wrong with the request."""
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers:
                return None  # a repeated header is for Flask to judge
            headers[name] = value
        if headers.get(b"content-type") != b"application/json" or b"content-encoding" in headers:
            return None
        try:
            token = authentication.token(_text(headers, b"authorization"))
            caller = self._services.identity.recognise(token)
            if caller is None or ORDERS_WRITE not in caller.scopes:
                return None
            key = submissions.idempotency_key(_text(headers, b"idempotency-key"))
            order = document.decode(body)
        except errors.UoopError:
            return None
        return NewOrder(caller.tenant_id, key, document.fingerprint(order), order)

    async def _accept(self, new: NewOrder) -> Accepted | None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        asked: asyncio.Future[Accepted] = self._loop.create_future()
        self._submit_for(new, asked, self._tell)
        try:
            return await asked
        except errors.UoopError:
            return None  # Flask asks again, by the same key, and tells what it hears

    def _tell(self, pairs: Told) -> None:
        """Called by the committing thread, once per group."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(tell_futures, pairs)


async def _read(receive: Receive) -> bytes:
    """The body, or a little more than is allowed of it."""
    message = await receive()
    if not message.get("more_body", False):
        return bytes(message.get("body", b""))
    parts = [message.get("body", b"")]
    size = len(parts[0])
    while message.get("more_body", False) and size <= submissions.BODY_LIMIT_BYTES:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    return b"".join(parts)


def _with_ascii_query(scope: Message) -> Message:
    """The request as the bridge to Flask can read it: what is not ASCII in its query stands escaped."""
    query: bytes = scope.get("query_string", b"")
    return scope if query.isascii() else {**scope, "query_string": quote_from_bytes(query, _ASCII).encode()}


def _with_length(scope: Message, body: bytes) -> Message:
    """The request as Flask shall see it, its body read already."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"content-length", b"transfer-encoding")
    ]
    return {**scope, "headers": [*kept, (b"content-length", b"%d" % len(body))]}


def _as_coroutine(receive: Receive) -> Receive:
    """The server may give any awaitable; the bridge to Flask's threads takes coroutines only."""

    async def received() -> Message:
        return await receive()

    return received


def _replaying(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
