"""
A client's connection: uvicorn's, but what cannot be read is refused in our words, and what does not end is bounded.

An answer to what came before goes out first; then the refusal, and the connection ends.
"""

import asyncio
import weakref
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app import errors
from web import framing, observation, paths, problems

WHOLE = "uoop.whole"  # an extension of the ASGI scope: {"send": `_answer` of this request}
MOST = 2048  # open at a time in one process
PIPELINED = 64  # requests that wait for the answer to the one before
REQUEST_S = 30  # for a request to come in
IDLE_S = 75  # from an answer to the next request
LINGER_S = 2  # for a client to read why: who closes with something unread resets the connection instead
UNENDING_BYTES = 64 * 1024  # of a head, of a chunk's size, or behind the last chunk

_FRAMING = (b"content-length", b"transfer-encoding")
_FIELDS = [*observation.SECURITY_HEADERS, ("Connection", "close")]


class Connection(HttpToolsProtocol):
    """
    What `asyncio` and the parser call; requests go to the ASGI application.

    :cvar made: connections so far
    """

    made: ClassVar[int] = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bare_bytes = 0  # that have come since a request began, or since a part of its body
        self._is_whole = True  # nothing of a request is missing
        self._resumes = False
        self._refusal: errors.UoopError | None = None
        self._begun: RequestResponseCycle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        Connection.made += 1
        self._end_after(REQUEST_S)
        if len(self.connections) > MOST:
            self._refuse(errors.Unavailable(detail="Too many connections are open."))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self.resume_writing()
        if self._begun and not self._begun.response_complete:  # of several, the parent tells the last
            self._begun.disconnected = True
            self._begun.message_event.set()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(REQUEST_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck:
            self._stuck.cancel()
            self._stuck = None

    def data_received(self, data: bytes) -> None:
        if self._refusal:
            return
        self._bare_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(_refusal(error))
            return
        if self._is_whole:
            return
        if self._bare_bytes > UNENDING_BYTES:
            self._refuse(framing.FieldsTooLarge())
        elif self.timeout_keep_alive_task is None and not self.pipeline:
            self._end_after(REQUEST_S)

    def on_message_begin(self) -> None:
        if self._resumes:
            return
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._is_whole, self._bare_bytes = False, 0

    def on_url(self, url: bytes) -> None:
        if self._resumes:
            return
        super().on_url(url)
        if len(self.url) > paths.LONGEST:
            raise framing.AddressTooLong()

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._resumes:
            self._resumes = False
            return
        version = self.parser.get_http_version()
        framing.look(version, self.headers)
        self.expect_100_continue = self.expect_100_continue and version != "1.0"
        if self.parser.should_upgrade() and self.parser.get_method() == b"CONNECT":
            raise framing.Ambiguous(detail="There is no way through here.")
        super().on_headers_complete()
        self.scope["extensions"] = {WHOLE: {"send": partial(_answer, weakref.ref(self.cycle))}}
        if self.pipeline:
            self._unset_keepalive_if_required()  # we read no more of it ourselves, until its turn has come
            if len(self.pipeline) > PIPELINED:
                raise framing.Ambiguous(detail="Wait for answers before you ask for more.")
        self.headers = []  # what comes behind the body is no field of the header
        if self.expect_100_continue:
            self.cycle.keep_alive = False  # answered before, the client may send the body or leave it out

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._bare_bytes = 0

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # the body comes yet: `_feed`
        super().on_message_complete()
        self._is_whole = True
        if not self.cycle.response_complete:
            self._unset_keepalive_if_required()

    def on_response_complete(self) -> None:
        is_last = not self.pipeline
        super().on_response_complete()
        if self.transport.is_closing():
            self._end_after(REQUEST_S)
        elif self.pipeline:
            self.flow.pause_reading()
        elif self._refusal and is_last:
            self._tell(self._refusal)
        elif not self._is_whole and not self._refusal and self.timeout_keep_alive_task is None:
            self._end_after(REQUEST_S)

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # to close would wait for who does not read
        else:
            super().timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._begun = cycle
        super()._start_asgi_task(cycle, app)

    def _feed(self, data: bytes) -> None:
        """
        Let the parser read. It offers another protocol to who asks for one, and takes the body for that: as we know
        no other, one that has been told only how the request ends reads on.
        """
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                ends = [b"%b: %b\r\n" % each for each in self.scope["headers"] if each[0] in _FRAMING]
                self.parser, self._resumes = httptools.HttpRequestParser(self), True
                self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(ends))

    def _refuse(self, refusal: errors.UoopError) -> None:
        self._refusal = refusal
        cycle = self.cycle
        if cycle:
            cycle.waiting_for_100_continue = False
        is_read = self._is_whole or cycle is None or cycle.scope is not self.scope
        if cycle is None or (cycle.response_complete and is_read):
            self._tell(refusal)
        elif is_read:
            pass  # told when that is answered
        elif self.pipeline:
            self.pipeline.popleft()  # it was not begun
        else:
            cycle.disconnected = True  # the application hears of no end of the body
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
            else:
                self._tell(refusal)

    def _tell(self, refusal: errors.UoopError) -> None:
        if self.transport.is_closing():
            return
        path = self.url.partition(b"?")[0].decode("latin-1") if self.scope else ""
        status, own, body = problems.told(refusal, path if path.startswith("/") else "/", "")
        date = [(name.decode(), value.decode()) for name, value in self.server_state.default_headers]
        fields = [*date, *own, ("Content-Length", str(len(body))), *_FIELDS]
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *map(": ".join, fields)]
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        self.transport.write_eof()
        observation.count(observation.NO_ROUTE, observation.NO_ROUTE, status, 0.0)
        self.flow.resume_reading()
        self._end_after(LINGER_S)

    def _end_after(self, seconds: float) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)


def _answer(asked: "weakref.ref[RequestResponseCycle]", status: int, fields: bytes, body: bytes) -> bool:
    """
    Send an answer at once: uvicorn looks at every field again, which takes a tenth of a submission's time.

    :param asked: whose scope knows this function: a circle would be left to the garbage collector
    :param fields: lines known to be good, Content-Length among them
    :return: False if that cannot be done now, and the answer has to go the usual way
    """
    cycle = asked()
    if cycle is None or cycle.disconnected or cycle.response_started or cycle.flow.write_paused:
        return False
    cycle.response_started = cycle.response_complete = True
    date = b"".join([b"%b: %b\r\n" % field for field in cycle.default_headers])
    ends = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    cycle.transport.write(b"".join((STATUS_LINE[status], date, fields, ends, body)))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def _refusal(error: httptools.HttpParserError) -> errors.UoopError:
    """Ours, raised while the parser called us, or its own."""
    ours = error.__context__
    if isinstance(ours, errors.UoopError):
        return ours
    return framing.Ambiguous() if ours else framing.Ambiguous(detail=f"{error}.")
