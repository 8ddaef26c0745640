"""What strangers may send over a connection, byte by byte, to the real server before either lane."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from infra import kept, stack
from infra.settings import Settings
from web.submissions import BODY_LIMIT_BYTES

TOKEN = "uoop_0a1b2c3d_0123456789abcdef0123456789abcdef"
ORDER_ID = "018f3b2c-7d4e-7a10-9c55-3f1e2a6b7c8d"
HERE = Path(__file__).parent
PLACES = (str(HERE), str(HERE.parents[1]), str(HERE.parent / "unit" / "web"))
POST = (
    b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"
    b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
)
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"\r\n2\r\n{}\r\n0\r\n\r\n"

# Told by the server itself: a status and no more
REFUSED = {
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "a length below zero": POST + b"Content-Length: -2\r\n\r\n{}",
    "a length of another base": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "no length in the length": POST + b"Content-Length: \r\n\r\n{}",
    "a length beyond numbers": POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "a length behind a vertical tab": POST + b"Content-Length: \x0b2\r\n\r\n{}",
    "a space before the colon": POST + b"Content-Length : 2\r\n\r\n{}",
    "another encoding": POST + b"Transfer-Encoding: xchunked\r\n" + CHUNKS,
    "identity and a length": POST + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
    "chunks inside of something": POST + b"Transfer-Encoding: chunked, identity\r\n" + CHUNKS,
    "an encoding on a folded line": POST + b"Transfer-Encoding:\r\n chunked\r\n" + CHUNKS,
    "a folded line": POST + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "chunks of HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + CHUNKS,
    "a bare carriage return": GET + b"X: a\rY: b\r\n\r\n",
    "NUL in a field": GET + b"X: a\0b\r\n\r\n",
    "a space in a field's name": GET + b"X Y: b\r\n\r\n",
    "a field without colon": GET + b"abc\r\n\r\n",
    "an unknown version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5\x01\r\n\r\n",
}
TOO_LARGE = {
    "a hundred fields and more": (431, GET + b"".join(b"X-%d: 1\r\n" % n for n in range(101)) + b"\r\n"),
    "half a megabyte of a field": (431, GET + b"X: " + b"a" * 500_000 + b"\r\n\r\n"),
    "a long address": (414, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
}
# Told by us, whose bounds are narrower than the server's: what is a little too large gets an answer with a word
BOUNDED = {
    "many fields": (431, GET + b"".join(b"X-%d: 1\r\n" % n for n in range(96)) + b"\r\n"),
    "many fields of a submission": (
        431,
        POST + b"".join(b"X-%d: 1\r\n" % n for n in range(90)) + b"Content-Length: 2\r\n\r\n{}",
    ),
    "60 kB of a field": (431, GET + b"X: " + b"a" * 60_000 + b"\r\n\r\n"),
    "an address of 60 kB": (414, b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
}
# Told by us: the server lets it through
AMBIGUOUS = {
    "chunked twice": POST + CHUNKED * 2 + CHUNKS,
    "compressed chunks": POST + b"Transfer-Encoding: gzip, chunked\r\n" + CHUNKS,
    "two hosts": GET + b"Host: y\r\n\r\n",
    "two hosts of a submission": POST + b"Host: y\r\nContent-Length: 2\r\n\r\n{}",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
}


class Server:
    """One granian with the flags of the stack."""

    def __init__(self, settings: Settings) -> None:
        *interface, _ = stack.granian_flags(settings)
        module = f"served_platform:{'hot_lane' if settings.hot_lane else 'application'}"
        self.address = (settings.host, settings.port)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "granian", *interface, module],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(PLACES)},
        )

    def connect(self) -> socket.socket:
        end = time.monotonic() + 60
        while True:
            try:
                return socket.create_connection(self.address, timeout=20)
            except ConnectionError:
                assert time.monotonic() < end
                time.sleep(0.05)

    def ask(self, raw: bytes) -> bytes:
        """All that is answered until the server ends the connection, which it is asked to do at last."""
        with self.connect() as connection:
            with suppress(ConnectionError):  # it may have heard enough
                connection.sendall(raw)
            return received(connection)


def received(connection: socket.socket) -> bytes:
    told = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            told += part
    return told


@pytest.fixture(scope="module", params=[True, False], ids=["hot lane", "Flask alone"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("served")
    running = Server(Settings(home=home, port=kept.port(home, "api"), hot_lane=request.param))
    yield running
    running.process.terminate()
    running.process.wait(30)


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_good_http_ends_the_connection(server: Server, raw: bytes) -> None:
    told = server.ask(raw)

    assert told.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert told.count(b"HTTP/1.1") == 1
    assert b"granian" not in told.lower()


@pytest.mark.parametrize(("status", "raw"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_what_comes_before_a_body_is_bounded(server: Server, status: int, raw: bytes) -> None:
    told = server.ask(raw)

    assert told.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(("status", "raw"), BOUNDED.values(), ids=BOUNDED.keys())
def test_what_is_a_little_too_large_is_a_problem(server: Server, status: int, raw: bytes) -> None:
    asked = raw.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)

    head, _, body = server.ask(asked).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status


@pytest.mark.parametrize("raw", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_two_servers_could_read_in_two_ways_is_a_problem(server: Server, raw: bytes) -> None:
    asked = raw.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)

    head, _, body = server.ask(asked).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "bad-request"


@pytest.mark.parametrize("fields", [b"Content-Length: %d\r\n" + CHUNKED, CHUNKED + b"Content-Length: %d\r\n"])
def test_a_length_beside_chunks_smuggles_nothing(server: Server, fields: bytes) -> None:
    """The server heeds the chunks alone and ends the connection, as RFC 9112, section 6.3, allows."""
    hidden = b"0\r\n\r\n" + GET + b"\r\n"

    told = server.ask(POST + fields % len(hidden) + b"\r\n" + hidden)

    assert told.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in told.lower()
    assert b"malformed-json" in told


def test_a_body_too_large_in_chunks_is_refused(server: Server) -> None:
    size = BODY_LIMIT_BYTES + 1
    sent = POST + CHUNKED + b"Connection: close\r\n\r\n%x\r\n" % size + b" " * size + b"\r\n0\r\n\r\n"

    head, _, body = server.ask(sent).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["code"] == "body-too-large"


def test_the_server_does_not_name_itself(server: Server) -> None:
    told = server.ask(GET + b"Connection: close\r\n\r\n")

    assert b"server: uoop\r\n" in told.lower()
    assert b"granian" not in told.lower()


def test_nobody_is_kept_waiting_by_a_stop(tmp_path: Path) -> None:
    server = Server(Settings(home=tmp_path, port=kept.port(tmp_path, "api"), hot_lane=True))
    try:
        with server.connect() as polling, server.connect() as streaming:
            order = (
                f"GET /v1/orders/{ORDER_ID}%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n%s\r\n"
            )
            streaming.sendall((order % ("/events", "")).encode())
            assert streaming.recv(65_536)
            polling.sendall((order % ("", "Prefer: wait=60\r\n")).encode())
            _until_counted(server, b"uoop_waiting_clients 2.0")

            server.process.send_signal(signal.SIGTERM)

            assert received(polling).startswith(b"HTTP/1.1 200 ")
            received(streaming)
        assert server.process.wait(20) == 0
    finally:
        server.process.kill()
        server.process.wait()


def test_a_request_that_never_ends_does_not_outlive_the_bound_of_a_stop(tmp_path: Path) -> None:
    server = Server(Settings(home=tmp_path, port=kept.port(tmp_path, "api"), hot_lane=True, drain_s=4))
    workers: list[psutil.Process] = []
    try:
        with server.connect() as stuck:
            stuck.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            _until_counted(server, b"stuck 1.0")
            workers = psutil.Process(server.process.pid).children()

            server.process.send_signal(signal.SIGTERM)

            server.process.wait(20)
            assert workers
            assert not [worker for worker in workers if worker.is_running()]
    finally:
        for each in (server.process, *workers):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        server.process.wait()


def _until_counted(server: Server, line: bytes) -> None:
    asked = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    end = time.monotonic() + 20
    while line not in server.ask(asked):
        assert time.monotonic() < end
        time.sleep(0.05)
