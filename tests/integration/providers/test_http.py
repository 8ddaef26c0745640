"""The adapter against peers that the sandbox is too well-behaved to be."""

import os
import socket
import threading
import time

import pytest
from peers import peer
from sandbox_process import SandboxProcess, wanted

from app.providers.http import HttpProvider
from app.providers.port import Answer, Kind, Verdict

DONE = b'{"outcomes":[{"key":"o1:step:1","status":"done","reference":"r"}]}'


def _do(provider: HttpProvider, timeout_s: float = 30) -> Answer:
    return provider.do("dispatches", [wanted("o1:step:1")], timeout_s=timeout_s)[0]


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nX-Drip: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
)
def test_a_dripping_server_is_left_at_the_deadline(start: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(start)
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    with peer(drip) as provider:
        started = time.monotonic()
        answer = _do(provider, timeout_s=0.5)

        assert time.monotonic() - started < 10
        assert answer.verdict is Verdict.IN_DOUBT


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 999999999\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"]
)
def test_an_endless_answer_is_cut_off(framing: bytes) -> None:
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        while True:
            sent += connection.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")

    with peer(pour) as provider:
        answer = _do(provider)

        assert answer.verdict is Verdict.IN_DOUBT
        assert sent < 64 * 1024 * 1024


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + DONE,
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        _answer(b'{"outcomes":[]}'),
        _answer(b"null"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_an_answer_that_cannot_be_read_leaves_doubt(reply: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(reply)
        connection.close()

    with peer(answer) as provider:
        assert _do(provider).verdict is Verdict.IN_DOUBT


@pytest.mark.parametrize("status", [b"503 Busy", b"429 Too Many"])
def test_an_overloaded_peer_is_unavailable(status: bytes) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)

    with peer(refuse) as provider:
        assert _do(provider).verdict is Verdict.UNAVAILABLE


@pytest.mark.parametrize("hang_up", ["before the next request", "in answer to it"])
def test_a_kept_alive_connection_that_was_closed_is_replaced(hang_up: str) -> None:
    accepted = 0

    def serve(connection: socket.socket) -> None:
        nonlocal accepted
        accepted += 1
        connection.recv(65536)
        connection.sendall(_answer(DONE))
        if hang_up == "in answer to it":
            connection.recv(65536)
        connection.close()

    with peer(serve) as provider:
        verdicts = [_do(provider).verdict for _ in range(3)]

        assert verdicts == [Verdict.DONE] * 3
        assert accepted == 3


def test_a_request_that_a_vanished_peer_may_have_read_is_in_doubt() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    provider = HttpProvider(
        name="odd",
        kind=Kind.DELIVERY,
        url=f"http://127.0.0.1:{listener.getsockname()[1]}/odd",
        bulk=True,
        token="hush",
    )

    def serve_one_and_vanish() -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(_answer(DONE))
        connection.recv(65536)
        listener.close()
        connection.close()

    vanishing = threading.Thread(target=serve_one_and_vanish)
    vanishing.start()

    verdicts = [_do(provider).verdict for _ in range(3)]

    vanishing.join()
    assert verdicts == [Verdict.DONE, Verdict.IN_DOUBT, Verdict.UNAVAILABLE]


def test_a_deadline_that_is_over_sends_nothing() -> None:
    received = list[bytes]()

    with peer(lambda connection: received.append(connection.recv(65536))) as provider:
        answer = _do(provider, timeout_s=0)

        assert answer.verdict is Verdict.UNAVAILABLE
        assert received == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_asks_over_connections_of_its_own(sandbox: SandboxProcess) -> None:
    side = sandbox.providers["dhow"]
    keys = [f"o{n}:step:1" for n in range(20)]
    side.do("dispatches", [wanted(key) for key in keys], timeout_s=30)

    child = os.fork()
    if child == 0:
        verdicts = {answer.verdict for answer in side.find("dispatches", keys, timeout_s=30)}
        os._exit(0 if verdicts == {Verdict.DONE} else 1)
    found = side.find("dispatches", keys, timeout_s=30)

    assert os.waitpid(child, 0)[1] == 0
    assert {answer.verdict for answer in found} == {Verdict.DONE}
