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

from infra import kept
from infra.settings import Settings
from web.description import examples
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

REFUSED = {
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "one length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
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
    "compressed chunks": POST + b"Transfer-Encoding: gzip, chunked\r\n" + CHUNKS,
    "an encoding on a folded line": POST + b"Transfer-Encoding:\r\n chunked\r\n" + CHUNKS,
    "a folded line": POST + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "chunked twice": POST + CHUNKED * 2 + CHUNKS,
    "chunks of HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + CHUNKS,
    "a chunk of another base": POST + CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk below zero": POST + CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk beyond numbers": POST + CHUNKED + b"\r\n99999999999999999\r\n{}\r\n0\r\n\r\n",
    "a space behind a chunk's size": POST + CHUNKED + b"\r\n2 \r\n{}\r\n0\r\n\r\n",
    "a bare line feed behind a chunk's size": POST + CHUNKED + b"\r\n2\n{}\r\n0\r\n\r\n",
    "a bare line feed in a chunk's extension": POST + CHUNKED + b"\r\n2;a\nb\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than its size": POST + CHUNKED + b"\r\n1\r\n{}\r\n0\r\n\r\n",
    "a bare carriage return": GET + b"X: a\rY: b\r\n\r\n",
    "a bare line feed": GET + b"X: a\nY: b\r\n\r\n",
    "bare line feeds alone": GET.replace(b"\r", b"") + b"\n",
    "NUL in a field": GET + b"X: a\0b\r\n\r\n",
    "a space in a field's name": GET + b"X Y: b\r\n\r\n",
    "a field without colon": GET + b"abc\r\n\r\n",
    "a field without name": GET + b": b\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "two hosts of a submission": POST + b"Host: y\r\nContent-Length: 2\r\n\r\n{}",
    "two hosts in one": GET.replace(b"x", b"x, y") + b"\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "an empty host": b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "an unknown version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "a later version": b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address beyond ASCII": b"GET /v1/orders?cursor=\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5\x01\r\n\r\n",
}
TOO_LARGE = {
    "a hundred fields and more": (431, GET + b"".join(b"X-%d: 1\r\n" % n for n in range(101)) + b"\r\n"),
    "many fields": (431, GET + b"".join(b"X-%d: 1\r\n" % n for n in range(64)) + b"\r\n"),
    "many fields of a submission": (
        431,
        POST + b"".join(b"X-%d: 1\r\n" % n for n in range(61)) + b"Content-Length: 2\r\n\r\n{}",
    ),
    "33 kB of a field": (431, GET + b"X: " + b"a" * 33_000 + b"\r\n\r\n"),
    "33 kB of a name": (431, GET + b"a" * 33_000 + b": 1\r\n\r\n"),
    "half a megabyte of a field": (431, GET + b"X: " + b"a" * 500_000 + b"\r\n\r\n"),
    "a field without end": (431, GET + b"X: " + b"a" * 500_000),
    "fields without end behind the last chunk": (
        431,
        POST + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n" + b"X: a\r\n" * 100_000,
    ),
    "a chunk's extension without end": (431, POST + CHUNKED + b"\r\n2;" + b"a" * 500_000),
    "an address of 9 kB": (414, b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a query of 9 kB": (414, b"GET /?" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    "an address without end": (414, b"GET /" + b"a" * 500_000),
}


class Server:
    """The API's server, as the stack starts it, of fakes."""

    def __init__(self, settings: Settings) -> None:
        served = f"served_platform:{'hot_lane' if settings.hot_lane else 'flask_alone'}"
        self.address = (settings.host, settings.port)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.http_server", served],
            env=os.environ | settings.environment() | {"PYTHONPATH": os.pathsep.join([*PLACES, *sys.path])},
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


def refusal(told: bytes) -> tuple[int, str]:
    """Status and code of what must be one answer, a whole problem document."""
    head, _, body = told.partition(b"\r\n\r\n")
    problem = json.loads(body)
    lines = head.lower().split(b"\r\n")
    assert problem["status"] == int(head.split()[1])
    assert problem.keys() >= {"type", "title", "detail", "instance", "trace_id"}
    assert {b"content-type: application/problem+json", b"x-content-type-options: nosniff"} <= set(lines)
    assert [line for line in lines if line.startswith((b"server:", b"connection:"))] == [
        b"server: uoop",
        b"connection: close",
    ]
    return problem["status"], problem["code"]


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
def test_what_is_no_good_http_is_a_problem_and_ends_the_connection(server: Server, raw: bytes) -> None:
    assert refusal(server.ask(raw + GET + b"\r\n")) == (400, "bad-request")


@pytest.mark.parametrize(("status", "raw"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_what_comes_before_a_body_is_bounded(server: Server, status: int, raw: bytes) -> None:
    code = {414: "address-too-long", 431: "fields-too-large"}[status]

    assert refusal(server.ask(raw)) == (status, code)


@pytest.mark.parametrize("wrong", ["two lengths", "a chunk below zero"])
def test_what_is_no_good_is_told_after_what_was_asked_before(server: Server, wrong: str) -> None:
    told = server.ask(GET + b"\r\n" + REFUSED[wrong])

    first, good, second = told.partition(b"HTTP/1.1 400 ")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert refusal(good + second) == (400, "bad-request")


def test_who_is_refused_before_his_body_came_may_leave_it_out(server: Server) -> None:
    nobody = POST.replace(TOKEN.encode(), b"nobody")

    told = server.ask(nobody + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n" + GET + b"\r\n")

    assert refusal(told) == (401, "unauthenticated")


def test_a_refusal_is_counted(server: Server) -> None:
    server.ask(REFUSED["TLS"])

    _until_counted(server, b'uoop_http_requests_total{method="none",route="none",status="4xx"}')


@pytest.mark.parametrize("fields", [b"Content-Length: %d\r\n" + CHUNKED, CHUNKED + b"Content-Length: %d\r\n"])
def test_a_length_beside_chunks_smuggles_nothing(server: Server, fields: bytes) -> None:
    hidden = b"0\r\n\r\n" + GET + b"\r\n"

    told = server.ask(POST + fields % len(hidden) + b"\r\n" + hidden)

    assert refusal(told) == (400, "bad-request")


@pytest.mark.parametrize("body", [b"Content-Length: 2\r\n\r\n{}", CHUNKED + CHUNKS])
def test_another_protocol_is_not_spoken_and_its_offer_hides_nothing(server: Server, body: bytes) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"

    told = server.ask(POST + offer + body + GET + b"Connection: close\r\n\r\n")

    assert [part[:3] for part in told.split(b"HTTP/1.1 ")[1:]] == [b"422", b"200"]
    assert b"invalid-order" in told


def test_spaces_behind_a_value_are_none_of_it(server: Server) -> None:
    told = server.ask(
        POST.replace(TOKEN.encode(), TOKEN.encode() + b" \t") + b"Connection: close\r\n" + CHUNKED + CHUNKS
    )

    assert told.startswith(b"HTTP/1.1 422 ")


def test_a_batch_may_come_in_chunks(server: Server) -> None:
    batch = json.dumps({"orders": [{"idempotency_key": "k", "order": examples.PLANNED_ORDER}]}).encode()
    asked = POST.replace(b"/v1/orders", b"/v1/orders/batch") + CHUNKED + b"Connection: close\r\n\r\n"
    halves = batch[:100], batch[100:]

    head, _, body = server.ask(
        asked + b"".join(b"%x\r\n%s\r\n" % (len(half), half) for half in halves) + b"0\r\n\r\n"
    ).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body)["results"][0]["status"] == 202


def test_a_body_too_large_in_chunks_is_refused(server: Server) -> None:
    size = BODY_LIMIT_BYTES + 1
    sent = POST + CHUNKED + b"Connection: close\r\n\r\n%x\r\n" % size + b" " * size + b"\r\n0\r\n\r\n"

    head, _, body = server.ask(sent).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["code"] == "body-too-large"


def test_the_server_does_not_name_itself(server: Server) -> None:
    told = server.ask(GET + b"Connection: close\r\n\r\n")

    assert b"server: uoop\r\n" in told.lower()
    assert b"uvicorn" not in told.lower()


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
    try:
        with server.connect() as stuck:
            stuck.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            _until_counted(server, b"stuck 1.0")

            server.process.send_signal(signal.SIGTERM)

            server.process.wait(20)
    finally:
        server.process.kill()
        server.process.wait()


def test_workers_that_die_are_replaced_and_end_with_their_parent(tmp_path: Path) -> None:
    server = Server(Settings(home=tmp_path, port=kept.port(tmp_path, "api"), api_workers=2, drain_s=4))
    asked, workers = GET + b"Connection: close\r\n\r\n", []
    try:
        server.ask(asked)
        for worker in _workers(server):
            worker.kill()
        told = server.ask(asked)
        workers = _workers(server)

        server.process.send_signal(signal.SIGTERM)

        assert told.startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(20) == 0
        assert not [worker for worker in workers if worker.is_running()]
    finally:
        for each in (server.process, *workers):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        server.process.wait()


def _workers(server: Server) -> list[psutil.Process]:
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if "--multiprocessing-fork" in child.cmdline()]


def _until_counted(server: Server, line: bytes) -> None:
    asked = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    end = time.monotonic() + 20
    while line not in server.ask(asked):
        assert time.monotonic() < end
        time.sleep(0.05)
