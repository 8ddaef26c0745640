"""
The hot lane: an ASGI module in front of Flask that accepts and tells orders without a thread per request.

It knows only the ways on which nothing is wrong, and how a caller it knows is told that he is one too many.
Whatever is not a good submission or a look at one order, and every other route, is handed to Flask. Without it
nothing is lost but speed, and long polls are answered at once.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import NamedTuple

from flask import Flask

from app import errors
from app.orders import document
from app.orders.group_commit import Tell, Told, tell_futures
from app.orders.model import Accepted, NewOrder
from web import (
    authentication,
    event_streams,
    hot_reading,
    observation,
    orders,
    preferences,
    problems,
    representations,
    submissions,
    trace_context,
)
from web.authentication import EVENTS_READ, ORDERS_READ, ORDERS_WRITE
from web.bridge import Bridge, Message, Receive, Send
from web.connections import WHOLE, Connection
from web.hot_reading import HotReading, NoPlace
from web.services import Principal, Services

Headers = dict[bytes, bytes]
SubmitFor = Callable[[NewOrder, object, Tell], None]
Fields = list[tuple[str, str]]
Answer = Callable[[Message, Receive, Send, Headers, Principal, Fields], Awaitable[None]]

PATH = "/v1/orders"
NOT_MODIFIED = 304
FEW, REST_S = 8, 0.003  # requests; an eighth of the time between two commits
WATCH_S = 1.0


class _Fixed(NamedTuple):
    """Fields that every such answer has, in both of their forms."""

    headers: list[tuple[bytes, bytes]]
    lines: bytes


def _fixed(fields: Fields) -> _Fixed:
    return _Fixed(_headers(fields), _lines(fields))


def _headers(fields: Fields) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in fields]


def _lines(fields: Fields) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode()


_SECURITY = [(name.lower(), value) for name, value in observation.SECURITY_HEADERS]
_FIXED = _fixed([("content-type", "application/json"), *_SECURITY])
_OTHER_FIXED = _fixed(_SECURITY)
_TOLD_FIXED = _fixed([field for field in _SECURITY if field[0] != "cache-control"])


class HotLane:
    """An ASGI application."""

    def __init__(
        self,
        app: Flask,
        services: Services,
        submit_for: SubmitFor,
        *,
        threads: int,
        places: int,
        stop_s: float,
    ) -> None:
        """
        :param threads: for the requests that Flask answers
        :param places: clients that may wait for an order to change
        :param stop_s: time that a stop may take
        """
        self._services, self._submit_for = services, submit_for
        self._reading = HotReading(services, places=places)
        self._flask = Bridge(app, threads=threads, stop_s=stop_s, leave=self._reading.close)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: dict[asyncio.Future[Accepted], float] = {}  # who waits for a commit, since when
        self._is_watching = False
        self._connections, self._turned_away, self._resting = 0, 0, False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        is_known = scope["type"] == "http" and not scope.get("query_string")
        answer, route, scopes = self._lane(scope) if is_known else (None, "", ())
        started = perf_counter()
        headers = _plain(scope["headers"]) if answer else None
        caller = self._caller(headers, scopes) if headers else None
        if not answer or headers is None or caller is None:
            await self._flask(scope, receive, send)
            return
        limits: Fields = []
        try:
            limits = self._services.limits.take_now(caller) or await self._count(caller)
            await answer(scope, receive, send, headers, caller, limits)
            return
        except Exception as error:  # noqa: BLE001 (else the server answers in its own words)
            status, fields, body = _told(error, scope, headers)
        await _send(
            scope, send, (status, [*fields, *limits], body), _OTHER_FIXED
        )  # breaks off what had begun
        observation.count(scope["method"], route, status, perf_counter() - started)
        if route == PATH:
            self._turned_away += 1
            self._gather(self._turned_away)

    def _lane(self, scope: Message) -> tuple[Answer | None, str, tuple[str, ...]]:
        """Who answers such a request here, its route, and the scopes of which it needs one."""
        if scope["method"] == "POST" and scope["path"] == PATH:
            return self._submit, PATH, (ORDERS_WRITE,)
        if scope["method"] == "GET" and hot_reading.ORDER.fullmatch(scope["path"]):
            return self._tell_order, hot_reading.ROUTE, (ORDERS_READ,)
        if scope["method"] == "GET" and hot_reading.EVENTS.fullmatch(scope["path"]):
            return self._stream, hot_reading.EVENTS_ROUTE, (EVENTS_READ, ORDERS_READ)
        return None, "", ()

    def _caller(self, headers: Headers, scopes: tuple[str, ...]) -> Principal | None:
        """Who may do this and is known from memory; for all others Flask is asked."""
        try:
            token = authentication.token(_text(headers, b"authorization"))
            caller = self._services.identity.recognise(token)
        except errors.UoopError:
            return None
        return caller if caller and not caller.scopes.isdisjoint(scopes) else None

    async def _tell_order(
        self,
        scope: Message,
        receive: Receive,
        send: Send,
        headers: Headers,
        caller: Principal,
        limits: Fields,
    ) -> None:
        started, path = perf_counter(), scope["path"]
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
            await self._flask(scope, _replaying(b""), send)
            return
        status, own, body = found
        await _send(scope, send, (status, [*own, *limits], body), _TOLD_FIXED)
        observation.count("GET", hot_reading.ROUTE, status, perf_counter() - started - waited_s)

    async def _stream(
        self,
        scope: Message,
        receive: Receive,
        send: Send,
        headers: Headers,
        caller: Principal,
        limits: Fields,
    ) -> None:
        started, path, begun = perf_counter(), scope["path"], False

        async def write(block: bytes) -> None:
            nonlocal begun
            if not begun:
                begun = True
                own = _headers([("content-type", event_streams.MEDIA_TYPE), *limits])
                fields = [*own, *_OTHER_FIXED.headers]
                await send({"type": "http.response.start", "status": 200, "headers": fields})
                observation.count("GET", hot_reading.EVENTS_ROUTE, 200, perf_counter() - started)
            await send({"type": "http.response.body", "body": block, "more_body": True})

        try:
            async with _leaving(receive) as gone:
                await self._reading.events(
                    caller, path.split("/")[3], _text(headers, b"last-event-id"), write, gone
                )
        except NoPlace:
            raise
        except (errors.UoopError, TimeoutError):
            pass  # a stream that has begun ends, and its client comes again; else Flask tells what is wrong
        if begun:
            await send({"type": "http.response.body", "body": b""})
        else:
            self._services.limits.give_back(caller)  # Flask counts it again
            await self._flask(scope, _replaying(b""), send)

    async def _submit(
        self,
        scope: Message,
        receive: Receive,
        send: Send,
        headers: Headers,
        caller: Principal,
        limits: Fields,
    ) -> None:
        started = perf_counter()
        submissions.admit(self._services, caller.tenant_id)
        body = await _read(receive, headers.get(b"content-length"))
        if body is None:
            return  # the client has gone, or has sent what is no body
        new = self._read_order(headers, caller, body) if len(body) <= submissions.BODY_LIMIT_BYTES else None
        accepted = await self._accept(new) if new else None
        if accepted is None:
            self._services.limits.give_back(caller)  # Flask counts it again
            await self._flask(scope, _replaying(body), send)
            return
        answer, own = representations.accepted_parts(accepted)
        await _send(scope, send, (202, [*own, *limits], answer), _FIXED)
        observation.count("POST", PATH, 202, perf_counter() - started)

    async def _count(self, caller: Principal) -> Fields:
        """:raises RateLimited: when it is one request too many"""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._services.limits.take, caller)

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
        """:raises TimeoutError: when Flask would wait no longer either"""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        asked: asyncio.Future[Accepted] = self._loop.create_future()
        self._submit_for(new, asked, self._tell)
        self._asked[asked] = self._loop.time()
        self._gather(len(self._asked))
        if not self._is_watching:
            self._watch()
        try:
            return await asked
        except errors.UoopError:
            return None  # Flask asks again, by the same key, and tells what it hears
        finally:
            del self._asked[asked]

    def _watch(self) -> None:
        """Look once a second who has waited too long: a timer for each would cost more than all of this."""
        if self._loop is None:
            return
        late = self._loop.time() - orders.ACCEPT_WAIT_S
        for asked, since in self._asked.items():
            if since <= late and not asked.done():
                asked.set_exception(TimeoutError())
        self._is_watching = bool(self._asked)
        if self._is_watching:
            self._loop.call_later(WATCH_S, self._watch)

    def _gather(self, several: int) -> None:
        """
        Let requests gather: to be woken for each of thousands a second takes as long as to serve it.

        Only where several wait for the next commit, which is not kept waiting by it, or have been turned away.
        """
        if several > FEW and not self._resting:
            self._resting = True
            asyncio.get_running_loop().call_soon(self._rest_a_moment)

    def _rest_a_moment(self) -> None:
        if (
            self._connections == Connection.made
        ):  # of those that come the loop takes one a turn: no rest between
            time.sleep(REST_S)
        self._connections, self._turned_away, self._resting = Connection.made, 0, False

    def _tell(self, pairs: Told) -> None:
        """Called by the committing thread, once per group."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(_tell_waiting, pairs)


async def _send(scope: Message, send: Send, told: tuple[int, Fields, bytes], fixed: _Fixed) -> None:
    status, own, body = told
    if status != NOT_MODIFIED:
        own = [*own, ("Content-Length", str(len(body)))]
    whole = scope.get("extensions", {}).get(WHOLE)
    if whole is None or not whole["send"](status, _lines(own) + fixed.lines, body):
        headers = [*_headers(own), *fixed.headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _told(error: Exception, scope: Message, headers: Headers) -> tuple[int, Fields, bytes]:
    path, traceparent = scope["path"], _text(headers, b"traceparent") or ""
    if isinstance(error, errors.UoopError | TimeoutError):
        foreseen = errors.Unavailable() if isinstance(error, TimeoutError) else error
        return problems.told(foreseen, path, traceparent)
    return problems.bug_told(error, scope["method"], path, traceparent)


def _tell_waiting(pairs: Told) -> None:
    tell_futures([pair for pair in pairs if not pair[0].done()])


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
    """The header fields by name; None if one is repeated: Flask shall judge."""
    headers = dict(given)
    return headers if len(headers) == len(given) else None


async def _read(receive: Receive, length: bytes | None) -> bytes | None:
    """
    The body, or a little more than is allowed of it; None if it does not come to its end.

    :param length: spares asking for what follows its end
    """
    message = await receive()
    parts: list[bytes] = [message.get("body", b"")]
    size = len(parts[0])
    if length == b"%d" % size:
        return parts[0]
    while message.get("more_body", False) and size <= submissions.BODY_LIMIT_BYTES:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    return b"".join(parts) if message["type"] == "http.request" else None


def _replaying(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _text(headers: Headers, name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
