"""
The hot lane: an ASGI module in front of Flask that accepts and tells orders without a thread per request.

It knows only the ways on which nothing is wrong, and how a caller it knows is told that he is one too many.
Whatever is not a good submission or a look at one order, and every other route, is handed to Flask. Without it
nothing is lost but speed, and long polls are answered at once.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any
from urllib.parse import quote_from_bytes

from a2wsgi import WSGIMiddleware
from flask import Flask

from app import errors
from app.limits.service import RateLimited
from app.orders import document
from app.orders.group_commit import Tell, Told, tell_futures
from app.orders.model import Accepted, NewOrder
from web import (
    authentication,
    event_streams,
    framing,
    hot_reading,
    observation,
    preferences,
    problems,
    representations,
    submissions,
    trace_context,
)
from web.authentication import EVENTS_READ, ORDERS_READ, ORDERS_WRITE
from web.hot_reading import HotReading, NoPlace
from web.services import Principal, Services

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]
SubmitFor = Callable[[NewOrder, object, Tell], None]
Answer = Callable[[Message, Receive, Send, Headers, Principal], Awaitable[None]]

PATH = "/v1/orders"
NOT_MODIFIED = 304
FEW, REST_S = 8, 0.003  # requests; an eighth of the time between two commits
_ASCII = bytes(range(128))
_OTHER_FIXED_HEADERS = [
    (name.lower().encode(), value.encode()) for name, value in observation.SECURITY_HEADERS
]
_FIXED_HEADERS = [(b"content-type", b"application/json"), *_OTHER_FIXED_HEADERS]
_TOLD_FIXED_HEADERS = [header for header in _OTHER_FIXED_HEADERS if header[0] != b"cache-control"]


class HotLane:
    """An ASGI application."""

    def __init__(
        self, app: Flask, services: Services, submit_for: SubmitFor, *, threads: int, places: int
    ) -> None:
        """
        :param threads: for the requests that Flask answers
        :param places: clients that may wait for an order to change
        """
        self._rest: Any = WSGIMiddleware(app, workers=threads)  # type: ignore[arg-type]
        self._services, self._submit_for = services, submit_for
        self._reading = HotReading(services, places=places)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._submitting, self._turned_away, self._resting = 0, 0, False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        is_known = scope["type"] == "http" and not scope.get("query_string")
        answer, route, scopes = self._lane(scope) if is_known else (None, "", ())
        started = perf_counter()
        headers = _plain(scope["headers"]) if answer else None
        caller = self._caller(headers, scopes) if headers else None
        if not answer or headers is None or caller is None:
            await self._hand_over(scope, receive, send)
            return
        try:
            await answer(scope, receive, send, headers, caller)
        except Exception as bug:  # noqa: BLE001 (else the server answers in its own words)
            await _fail(send, bug, scope, headers, route, started)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Begin and end with the server; once it is told to stop nobody waits any more."""
        await receive()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _leave(self) -> None:
        """The server tells the lane of its stop only after the last answer: until then long polls would last."""
        self._reading.close()
        signal.raise_signal(signal.SIGINT)  # by which the server stops as well, with its own handler

    def _lane(self, scope: Message) -> tuple[Answer | None, str, tuple[str, ...]]:
        """Who answers such a request here, its route, and the scopes of which it needs one."""
        if scope["method"] == "POST" and scope["path"] == PATH:
            return self._submit, PATH, (ORDERS_WRITE,)
        if scope["method"] == "GET" and hot_reading.ORDER.fullmatch(scope["path"]):
            return self._tell_order, hot_reading.ROUTE, (ORDERS_READ,)
        if scope["method"] == "GET" and hot_reading.EVENTS.fullmatch(scope["path"]):
            return self._stream, hot_reading.EVENTS_ROUTE, (EVENTS_READ, ORDERS_READ)
        return None, "", ()

    async def _hand_over(self, scope: Message, receive: Receive, send: Send) -> None:
        await self._rest(_with_ascii_query(scope), _as_coroutine(receive), send)

    def _caller(self, headers: Headers, scopes: tuple[str, ...]) -> Principal | None:
        """Who may do this and is known from memory; for all others Flask is asked."""
        try:
            token = authentication.token(_text(headers, b"authorization"))
            caller = self._services.identity.recognise(token)
        except errors.UoopError:
            return None
        return caller if caller and not caller.scopes.isdisjoint(scopes) else None

    async def _tell_order(
        self, scope: Message, receive: Receive, send: Send, headers: Headers, caller: Principal
    ) -> None:
        started, path = perf_counter(), scope["path"]
        try:
            limits = await self._count(caller)
        except errors.UoopError as refusal:
            await _refuse(send, refusal, headers, path, hot_reading.ROUTE, started)
            return
        order_id, known = path.rpartition("/")[2], _text(headers, b"if-none-match")
        wait_s, waited_s = preferences.wait_s(_text(headers, b"prefer")), 0.0
        if wait_s:
            async with _leaving(receive) as gone:
                found, waited_s = await self._reading.changed_order(caller, order_id, known, wait_s, gone)
                if gone.done():
                    return
        else:
            found = await self._reading.order(caller, order_id, known)
        if found is None:
            self._services.limits.give_back(caller)  # Flask counts it again
            await self._hand_over(scope, _replaying(b""), send)
            return
        status, own, body = found
        await _send(send, (status, [*own, *limits], body), _TOLD_FIXED_HEADERS)
        observation.count("GET", hot_reading.ROUTE, status, perf_counter() - started - waited_s)

    async def _stream(
        self, scope: Message, receive: Receive, send: Send, headers: Headers, caller: Principal
    ) -> None:
        started, path, begun = perf_counter(), scope["path"], False
        limits: list[tuple[str, str]] = []

        async def write(block: bytes) -> None:
            nonlocal begun
            if not begun:
                begun = True
                own = [(name.lower().encode(), value.encode()) for name, value in limits]
                fields = [(b"content-type", event_streams.MEDIA_TYPE.encode()), *own, *_OTHER_FIXED_HEADERS]
                await send({"type": "http.response.start", "status": 200, "headers": fields})
                observation.count("GET", hot_reading.EVENTS_ROUTE, 200, perf_counter() - started)
            await send({"type": "http.response.body", "body": block, "more_body": True})

        try:
            limits = await self._count(caller)
            async with _leaving(receive) as gone:
                await self._reading.events(
                    caller, path.split("/")[3], _text(headers, b"last-event-id"), write, gone
                )
        except (RateLimited, NoPlace) as refusal:
            refusal.data.setdefault("fields", limits)
            await _refuse(send, refusal, headers, path, hot_reading.EVENTS_ROUTE, started)
            return
        except (errors.UoopError, TimeoutError):
            pass  # a stream that has begun ends, and its client comes again; else Flask tells what is wrong
        if begun:
            await send({"type": "http.response.body", "body": b""})
        else:
            self._services.limits.give_back(caller)  # Flask counts it again
            await self._hand_over(scope, _replaying(b""), send)

    async def _submit(
        self, scope: Message, receive: Receive, send: Send, headers: Headers, caller: Principal
    ) -> None:
        started = perf_counter()
        try:
            limits = await self._admit(caller)
        except errors.UoopError as refusal:
            await _refuse(send, refusal, headers, PATH, PATH, started, method="POST")
            self._turned_away += 1
            self._gather(self._turned_away)
            return
        body = await _read(receive, headers.get(b"content-length"))
        new = self._read_order(headers, caller, body) if len(body) <= submissions.BODY_LIMIT_BYTES else None
        accepted = await self._accept(new) if new else None
        if accepted is None:
            self._services.limits.give_back(caller)  # Flask counts it again
            await self._rest(_with_length(scope, body), _replaying(body), send)
            return
        answer, own = representations.accepted_parts(accepted)
        await _send(send, (202, [*own, *limits], answer), _FIXED_HEADERS)
        observation.count("POST", PATH, 202, perf_counter() - started)

    async def _admit(self, caller: Principal) -> list[tuple[str, str]]:
        """
        Count the request and look at what waits, before anything of the order is read.

        :raises RateLimited: when it is one request too many
        :raises Overloaded: while too much of the tenant's waits behind the door
        """
        limits = self._services.limits.take_now(caller) or await self._count(caller)
        try:
            submissions.admit(self._services, caller.tenant_id)
        except submissions.Overloaded as overload:
            raise submissions.Overloaded(**overload.data, fields=limits) from None
        return limits

    async def _count(self, caller: Principal) -> list[tuple[str, str]]:
        """:raises RateLimited: when it is one request too many"""
        limits = self._services.limits.take_now(caller)
        if limits is None:
            loop = asyncio.get_running_loop()
            limits = await loop.run_in_executor(None, self._services.limits.take, caller)
        return limits

    def _read_order(self, headers: Headers, caller: Principal, body: bytes) -> NewOrder | None:
        """The order, or None if anything at all is wrong with the request."""
        if headers.get(b"content-type") != b"application/json" or b"content-encoding" in headers:
            return None
        try:
            key = submissions.idempotency_key(_text(headers, b"idempotency-key"))
            order = document.decode(body)
        except errors.UoopError:
            return None
        trace = trace_context.read(_text(headers, b"traceparent"))
        return NewOrder(caller.tenant_id, key, document.fingerprint(order), order, trace)

    async def _accept(self, new: NewOrder) -> Accepted | None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        asked: asyncio.Future[Accepted] = self._loop.create_future()
        self._submit_for(new, asked, self._tell)
        self._submitting += 1
        self._gather(self._submitting)
        try:
            return await asked
        except errors.UoopError:
            return None  # Flask asks again, by the same key, and tells what it hears
        finally:
            self._submitting -= 1

    def _gather(self, several: int) -> None:
        """
        Let requests gather: to be woken for each of thousands a second takes as long as to serve it.

        Only where several wait for the next commit, which is not kept waiting by it, or have been turned away.
        """
        if several > FEW and not self._resting:
            self._resting = True
            asyncio.get_running_loop().call_soon(self._rest_a_moment)

    def _rest_a_moment(self) -> None:
        time.sleep(REST_S)
        self._turned_away, self._resting = 0, False

    def _tell(self, pairs: Told) -> None:
        """Called by the committing thread, once per group."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(tell_futures, pairs)


async def _send(
    send: Send, told: tuple[int, list[tuple[str, str]], bytes], fixed: list[tuple[bytes, bytes]]
) -> None:
    status, headers, body = told
    own = [(name.lower().encode(), value.encode()) for name, value in headers]
    length = [] if status == NOT_MODIFIED else [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *length, *fixed]})
    await send({"type": "http.response.body", "body": body})


async def _refuse(
    send: Send,
    refusal: errors.UoopError,
    headers: Headers,
    path: str,
    route: str,
    started: float,
    method: str = "GET",
) -> None:
    told = problems.told(refusal, path, _text(headers, b"traceparent") or "")
    await _send(send, told, _OTHER_FIXED_HEADERS)
    observation.count(method, route, told[0], perf_counter() - started)


async def _fail(
    send: Send, bug: Exception, scope: Message, headers: Headers, route: str, started: float
) -> None:
    method = scope["method"]
    told = problems.bug_told(bug, method, scope["path"], _text(headers, b"traceparent") or "")
    await _send(send, told, _OTHER_FIXED_HEADERS)  # what had begun cannot begin again: it breaks off
    observation.count(method, route, told[0], perf_counter() - started)


@asynccontextmanager
async def _leaving(receive: Receive) -> AsyncIterator["asyncio.Future[None]"]:
    """A future that is done when the client has gone."""
    gone = asyncio.ensure_future(_gone(receive))
    try:
        yield gone
    finally:
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _plain(given: list[tuple[bytes, bytes]]) -> Headers | None:
    """The header fields by name; None if one is repeated, or they are too large or odd: Flask shall judge."""
    headers = dict(given)
    is_plain = (
        len(headers) == len(given) <= framing.FIELDS
        and sum(map(len, headers.values())) <= framing.FIELDS_BYTES
        and headers.get(b"host") != b""
        and headers.get(b"transfer-encoding", b"chunked") == b"chunked"
    )
    return headers if is_plain else None


async def _read(receive: Receive, length: bytes | None) -> bytes:
    """The body, or a little more than is allowed of it; `length` spares asking for what follows its end."""
    message = await receive()
    parts: list[bytes] = [message.get("body", b"")]
    size = len(parts[0])
    if length == b"%d" % size:
        return parts[0]
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


def _text(headers: Headers, name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
