"""Receivers of webhooks on loopback, and what they were sent."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HELD_AT_MOST_S = 30


@dataclass(frozen=True)
class Sent:
    """One POST."""

    body: bytes
    headers: dict[str, str]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def name(self) -> tuple[str, int]:
        return self.event["subject"], self.event["sequence"]


@dataclass
class Receiver:
    """Answers what `answer` says of a POST: a status and headers. `busiest`: most at the same time."""

    port: int = 0
    answer: Callable[[Sent], tuple[int, dict[str, str]]] = lambda _: (204, {})
    got: list[Sent] = field(default_factory=list)
    busiest: int = 0
    open_now: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def names(self) -> list[tuple[str, int]]:
        return [sent.name for sent in self.got]

    def take(self, sent: Sent) -> tuple[int, dict[str, str]]:
        with self.lock:
            self.got.append(sent)
            self.open_now += 1
            self.busiest = max(self.busiest, self.open_now)
        try:
            return self.answer(sent)
        finally:
            with self.lock:
                self.open_now -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that takes everything until it is told otherwise."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers = made.take(
                Sent(body, {name.lower(): value for name, value in self.headers.items()})
            )
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
            except OSError:
                pass  # nobody waits for the answer any more

        def log_message(self, *_: object) -> None:
            """Silence."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
