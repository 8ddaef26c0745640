"""No connection is kept for ever by who asks nothing, asks slowly, or by how many others there are."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from web import connections
from web.connections import IDLE_S, LINGER_S, PIPELINED, REQUEST_S, WHOLE, Connection

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


class Client(asyncio.Transport):
    """The other end."""

    def __init__(self) -> None:
        super().__init__()
        self.heard, self.is_closed = b"", False

    def write(self, data: Any) -> None:
        self.heard += data

    def write_eof(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Timer:
    def __init__(self, timers: list["Timer"], seconds: float, then: Callable[[], None]) -> None:
        self.seconds, self.then, self._timers = seconds, then, timers
        timers.append(self)

    def cancel(self) -> None:
        self._timers.remove(self)


class Clock:
    """A loop whose time the test lets pass."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def create_task(self, coroutine: Any) -> "asyncio.Task[None]":
        return asyncio.get_running_loop().create_task(coroutine)

    def call_later(self, seconds: float, then: Callable[[], None]) -> Timer:
        return Timer(self.timers, seconds, then)


async def answering(_: Any, receive: Any, send: Any) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def waiting(_: Any, __: Any, ___: Any) -> None:
    await asyncio.Event().wait()


@dataclass
class Seen:
    """By a client that has sent something, byte by byte, and nothing since; and what time then did."""

    heard: bytes
    was_open: bool
    waited_s: list[float]
    is_open: bool


async def answering_whole(scope: Any, receive: Any, _: Any) -> None:
    await receive()
    assert scope["extensions"][WHOLE]["send"](200, b"content-length: 2\r\n", b"ok")


async def answering_usually(_: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def after(sent: bytes, app: Any = answering, *, at_once: bool = False) -> Seen:
    """
    What a client sees of it.

    :param at_once: it comes in one piece
    """

    async def send() -> Seen:
        client, clock = Client(), Clock()
        config = uvicorn.Config(app, log_config=None, timeout_keep_alive=IDLE_S, interface="asgi3")
        config.load()
        connection = Connection(config=config, server_state=ServerState(), app_state={}, _loop=clock)
        connection.connection_made(client)
        for piece in [sent] if at_once else [sent[at : at + 1] for at in range(len(sent))]:
            connection.data_received(piece)
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        was_open, waited = not client.is_closed, list(clock.timers)
        for timer in waited:
            timer.then()
        return Seen(client.heard, was_open, [timer.seconds for timer in waited], not client.is_closed)

    return asyncio.run(send())


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n\r\n", b"G", GET, GET + b"X: a", POST, POST + b"123"],
    ids=lambda sent: repr(sent[-6:]),
)
def test_a_request_that_does_not_come_in_ends_the_connection(sent: bytes) -> None:
    assert after(sent) == Seen(b"", was_open=True, waited_s=[REQUEST_S], is_open=False)


@pytest.mark.parametrize("sent", [GET + b"\r\n", POST + b"1234", GET + b"\r\n\r\n\r\n"])
def test_a_connection_is_kept_for_a_while_after_an_answer(sent: bytes) -> None:
    seen = after(sent)

    assert seen == Seen(seen.heard, was_open=True, waited_s=[IDLE_S], is_open=False)
    assert seen.heard.startswith(b"HTTP/1.1 200 ")


def test_a_request_behind_another_that_does_not_come_in_ends_the_connection() -> None:
    seen = after(GET + b"\r\n" + POST, at_once=True)

    assert seen == Seen(seen.heard, was_open=True, waited_s=[REQUEST_S], is_open=False)
    assert seen.heard.count(b"HTTP/1.1 200 ") == 1


def test_nobody_is_hurried_who_waits_for_the_answer_before() -> None:
    assert after(GET + b"\r\n" + POST, waiting).waited_s == []


def test_who_asks_for_much_at_once_waits_for_answers_first() -> None:
    seen = after((GET + b"\r\n") * (PIPELINED + 2), at_once=True)

    assert seen.heard.count(b"HTTP/1.1 200 ") == PIPELINED + 1
    assert seen.heard.count(b"HTTP/1.1 400 ") == 1
    assert seen.is_open is False


def test_many_at_once_are_answered_one_by_one() -> None:
    assert (
        after((GET + b"\r\n") * (PIPELINED + 1), at_once=True).heard.count(b"HTTP/1.1 200 ") == PIPELINED + 1
    )


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"\r\n",
        GET + b"Connection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        2 * (GET + b"\r\n"),
        POST,
        POST + b"1234",
        POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") + b"1234",
    ],
    ids=lambda sent: repr(sent[-30:]),
)
def test_an_answer_in_one_piece_is_the_usual_one(sent: bytes) -> None:
    assert after(sent, answering_whole, at_once=True) == after(sent, answering_usually, at_once=True)


def test_a_request_that_has_come_in_may_wait() -> None:
    assert after(GET + b"\r\n", waiting) == Seen(b"", was_open=True, waited_s=[], is_open=True)


def test_who_is_one_too_many_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 0)

    seen = after(GET + b"\r\n")

    assert seen.heard.startswith(b"HTTP/1.1 503 ")
    assert seen.heard.count(b"HTTP/1.1") == 1
    assert b"\r\nRetry-After: " in seen.heard
    assert (seen.waited_s, seen.is_open) == ([LINGER_S], False)
