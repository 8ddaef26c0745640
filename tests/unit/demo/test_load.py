"""The load generator against a server that misbehaves: every order is sent until it is answered."""

import itertools
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.demo import city, journal
from infra.demo.journal import Journal
from infra.demo.load import Load
from infra.demo.pacing import Schedule, Window


class Moody(BaseHTTPRequestHandler):
    """Accepts after some bad moods; the same key is always answered with the same id."""

    protocol_version = "HTTP/1.1"
    moods: Iterator[str]
    retry_after = "0"
    keys: Counter[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        mood = next(self.moods)
        self.keys[key] += 1
        if mood == "hang up":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif mood == "nonsense":
            self.wfile.write(b"what?\r\n\r\n")
            self.close_connection = True
        else:
            self._answer(int(mood), key)

    def _answer(self, status: int, key: str) -> None:
        body = f'{{"tracking_id":"id-of-{key}"}}'.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", self.retry_after)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Moody.keys = Counter()
    running = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def _load(server: ThreadingHTTPServer) -> Load:
    return Load("127.0.0.1", server.server_address[1], "token", connections=4)


def test_every_order_is_sent_under_its_key_until_it_is_accepted(server: ThreadingHTTPServer, tmp_path: Path):
    Moody.moods = itertools.cycle(["202", "hang up", "202", "503", "202", "500", "202", "nonsense", "202"])
    load = _load(server)

    with Journal(tmp_path / "journal.jsonl") as kept:
        load.run(city.orders(city.city(1), 30), Window(), kept)

    promises = list(journal.read(kept.path))
    assert len({promise.key for promise in promises}) == len(promises) == 30
    assert all(promise.id == f"id-of-{promise.key}" for promise in promises)
    assert load.tally.accepted == 30
    assert load.tally.resent >= 20
    assert max(Moody.keys.values()) > 1


def test_keys_number_the_orders_though_some_are_sent_again(server: ThreadingHTTPServer, tmp_path: Path):
    Moody.moods = itertools.cycle(["503", "202"])
    load = _load(server)

    with Journal(tmp_path / "journal.jsonl") as kept:
        load.run(city.orders(city.city(1), 10), Schedule([0] * 10), kept)

    numbers = {int(promise.key.rpartition("-")[2]) for promise in journal.read(kept.path)}
    assert numbers == set(range(10))


def test_a_final_refusal_is_told_and_not_repeated(server: ThreadingHTTPServer, tmp_path: Path):
    Moody.moods = itertools.cycle(["422"])
    load = _load(server)

    with Journal(tmp_path / "journal.jsonl") as kept:
        load.run(city.orders(city.city(1), 3), Schedule([0, 0, 0]), kept)

    assert [refusal.status for refusal in load.tally.refusals] == [422] * 3
    assert set(Moody.keys.values()) == {1}
    assert not list(journal.read(kept.path))


def test_in_an_open_loop_only_who_is_turned_away_waits(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Moody, "retry_after", "1")
    Moody.moods = iter(["503", "202", "202", "202"])
    load = Load("127.0.0.1", server.server_address[1], "token", connections=1)

    with Journal(tmp_path / "journal.jsonl") as kept:
        load.run(city.orders(city.city(1), 3), Schedule([0, 0, 0]), kept)

    accepted = [promise.first_sent_at for promise in journal.read(kept.path)]
    assert accepted[-1] == min(accepted)


def test_times_are_kept_from_the_first_sending(server: ThreadingHTTPServer, tmp_path: Path):
    Moody.moods = iter(["500", "202"])
    load = _load(server)

    with Journal(tmp_path / "journal.jsonl") as kept:
        load.run(city.orders(city.city(1), 1), Window(), kept)

    (promise,) = journal.read(kept.path)
    assert promise.first_sent_at < promise.sent_at < promise.accepted_at


def test_a_stopped_load_ends_though_nobody_answers(tmp_path: Path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        load = Load("127.0.0.1", nobody.getsockname()[1], "token")
        threading.Timer(0.2, setattr, (load, "stopped", True)).start()
        with Journal(tmp_path / "journal.jsonl") as kept:
            load.run(city.orders(city.city(1), 5), Window(), kept)

    assert load.tally.accepted == 0
