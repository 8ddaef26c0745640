"""How many calls are in flight to a provider at once, whoever makes them."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text
from together import at_once

from app.providers.http import HttpProvider
from app.providers.permits import Permits
from app.providers.port import Kind, Verdict


def permits(db: Database, most: int = 2, provider: str = "swift") -> Permits:
    """As each process has its own."""
    return Permits(db, provider, most=most)


def test_no_more_are_held_than_there_are(db: Database) -> None:
    with permits(db).held(8, wait_s=0, hold_s=9) as first, permits(db).held(1, wait_s=0, hold_s=9) as second:
        assert (first, second) == (2, 0)


def test_what_is_given_back_is_free_again(db: Database) -> None:
    with permits(db, 1).held(1, wait_s=0, hold_s=9):
        pass

    with permits(db, 1).held(1, wait_s=0, hold_s=9) as held:
        assert held == 1


def test_who_raises_gives_back_too(db: Database) -> None:
    with pytest.raises(ValueError, match="odd"), permits(db, 1).held(1, wait_s=0, hold_s=9):
        raise ValueError("odd")

    with permits(db, 1).held(1, wait_s=0, hold_s=9) as held:
        assert held == 1


def test_who_waits_gets_what_comes_free(db: Database, eventually: object) -> None:
    got: list[int] = []

    def wait() -> None:
        with permits(db, 1).held(1, wait_s=20, hold_s=9) as held:
            got.append(held)

    waiting = threading.Thread(target=wait)
    with permits(db, 1).held(1, wait_s=0, hold_s=9):
        waiting.start()
    waiting.join(20)

    assert got == [1]


def test_a_dead_callers_permit_lapses_and_is_not_given_back_by_him(db: Database) -> None:
    with permits(db, 1).held(1, wait_s=0, hold_s=9):
        lapse(db)
        late = permits(db, 1).held(1, wait_s=0, hold_s=9)
        successor = late.__enter__()

    with permits(db, 1).held(1, wait_s=0, hold_s=9) as third:
        assert (successor, third) == (1, 0)
    late.__exit__(None, None, None)


def lapse(db: Database) -> None:
    with db.begin() as connection:
        connection.execute(text("UPDATE provider_permits SET held_until = now() - interval '1 s'"))


def test_a_lowered_limit_holds_at_once(db: Database) -> None:
    with permits(db, 3).held(1, wait_s=0, hold_s=9) as before:
        assert before == 1

    with permits(db, 1).held(8, wait_s=0, hold_s=9) as after:
        assert after == 1


def test_providers_do_not_take_each_others_permits(db: Database) -> None:
    with (
        permits(db, 1).held(1, wait_s=0, hold_s=9),
        permits(db, 1, "dhow").held(1, wait_s=0, hold_s=9) as held,
    ):
        assert held == 1


class Counting(ThreadingHTTPServer):
    """Answers 404 to everything, after a moment, and knows how many it had in hand at most."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock, self.in_hand, self.most = threading.Lock(), 0, 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Counting

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.in_hand += 1
            self.server.most = max(self.server.most, self.server.in_hand)
        time.sleep(0.01)  # the other side's work
        with self.server.lock:
            self.server.in_hand -= 1
        key = self.path.rpartition("/")[2]
        body = b'{"key":"%b","status":"unknown"}' % key.encode()
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def other_side() -> Iterator[Counting]:
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def adapter(server: Counting, db: Database, most: int | None) -> HttpProvider:
    return HttpProvider(
        name="swift",
        kind=Kind.DELIVERY,
        url=f"http://127.0.0.1:{server.server_port}/swift",
        bulk=False,
        token="hush",
        permits=permits(db, most) if most else None,
    )


@pytest.mark.parametrize(("most", "bounded"), [(3, True), (None, False)])
def test_all_processes_together_make_no_more_requests_than_allowed(
    db: Database, other_side: Counting, most: int | None, bounded: bool
) -> None:
    keys = [f"k{n}" for n in range(16)]
    verdicts: list[Verdict] = []

    def ask() -> None:
        provider = adapter(other_side, db, most)
        verdicts.extend(answer.verdict for answer in provider.find("dispatches", keys, timeout_s=60))
        provider.close()

    at_once(ask, 4)

    assert verdicts == [Verdict.UNKNOWN] * 64
    assert (other_side.most <= 3) is bounded


def test_who_gets_no_permit_has_surely_had_no_effect(db: Database, other_side: Counting) -> None:
    with permits(db, 1).held(1, wait_s=0, hold_s=9):
        (answer,) = adapter(other_side, db, 1).find("dispatches", ["k"], timeout_s=0.1)

    assert (answer.verdict, other_side.most) == (Verdict.UNAVAILABLE, 0)
