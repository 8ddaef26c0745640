"""The port over HTTP: one request per cohort where the provider takes cohorts, else requests side by side."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from app.providers import listings, outcomes
from app.providers.connections import Connections, ExchangeError
from app.providers.outcomes import Verb
from app.providers.permits import Permits
from app.providers.port import CALLS_TAKEN, Answer, Kind, Listing, Request, Verdict

ITEMS_PER_REQUEST = 500
REQUESTS_SIDE_BY_SIDE = 8

_METHODS = {Verb.DO: "PUT", Verb.UNDO: "DELETE", Verb.FIND: "GET"}
_ENCODER = msgspec.json.Encoder()

Job = TypeVar("Job")


class HttpProvider:
    """A provider behind `url`; thread-safe, and usable on both sides of a fork."""

    def __init__(
        self,
        *,
        name: str,
        kind: Kind,
        url: str,
        bulk: bool,
        token: str,
        tombstones: bool = True,
        permits: Permits | None = None,
    ) -> None:
        """:param permits: bound the requests in flight; None is as many as the callers make"""
        parts = urlsplit(url)
        self._permits = permits
        self.name = name
        self.kind = kind
        self.bulk = bulk
        self.tombstones = tombstones
        self._path = parts.path.rstrip("/")
        self._head = f" HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
        self._connections = Connections(url)
        self._threads: ThreadPoolExecutor | None = None
        self._threads_pid = 0
        self._threads_lock = threading.Lock()

    def do(self, resource: str, requests: Sequence[Request], *, timeout_s: float) -> list[Answer]:
        bodies: list[Mapping[str, object]]
        if self.bulk:
            bodies = [{"key": it.key, "not_after": it.not_after, **it.body} for it in requests]
        else:  # the key stands in the path
            bodies = [{"not_after": it.not_after, **it.body} for it in requests]
        return self._ask(Verb.DO, resource, [it.key for it in requests], bodies, timeout_s)

    def undo(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        return self._ask(Verb.UNDO, resource, keys, [{"key": key} for key in keys], timeout_s)

    def find(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        return self._ask(Verb.FIND, resource, keys, [{"key": key} for key in keys], timeout_s)

    def listing(
        self,
        resource: str,
        *,
        since: datetime,
        until: datetime,
        cursor: str | None,
        limit: int,
        timeout_s: float,
    ) -> Listing:
        asked = {"since": since.isoformat(), "until": until.isoformat(), "limit": str(limit)}
        query = urlencode(asked if cursor is None else {**asked, "cursor": cursor})
        deadline = time.monotonic() + timeout_s
        with self._permitted(1, timeout_s) as permitted:
            if not permitted:
                return Listing(Verdict.UNAVAILABLE, reason=CALLS_TAKEN)
            try:
                status, body = self._send("GET", f"{resource}?{query}", b"", deadline)
            except ExchangeError as error:
                return Listing(Verdict.UNAVAILABLE, reason=error.reason)
        return listings.read(status, body, cursor)

    def close(self) -> None:
        """Close idle connections; the provider can be used again."""
        self._connections.close()

    def _ask(
        self,
        verb: Verb,
        resource: str,
        keys: Sequence[str],
        bodies: Sequence[Mapping[str, object]],
        timeout_s: float,
    ) -> list[Answer]:
        deadline = time.monotonic() + timeout_s
        size = ITEMS_PER_REQUEST if self.bulk else 1
        ask = self._ask_bulk if self.bulk else self._ask_single
        answers = [Answer(key, Verdict.IN_DOUBT) for key in keys]

        def ask_from(start: int) -> None:
            part = slice(start, start + size)
            answers[part] = ask(verb, resource, keys[part], bodies[part], deadline)

        jobs = range(0, len(keys), size)
        with self._permitted(min(len(jobs), REQUESTS_SIDE_BY_SIDE), timeout_s) as permitted:
            if not permitted:
                return [Answer(key, Verdict.UNAVAILABLE, reason=CALLS_TAKEN) for key in keys]
            self._side_by_side(ask_from, jobs, permitted)
        return answers

    def _permitted(self, wanted: int, timeout_s: float) -> AbstractContextManager[int]:
        """How many requests may be made at once, 0 if none."""
        if self._permits is None:
            return nullcontext(wanted)
        # at least half of the time is left for the call: too little of it would only leave doubt
        return self._permits.held(wanted, wait_s=timeout_s / 2, hold_s=timeout_s)

    def _ask_bulk(
        self,
        verb: Verb,
        resource: str,
        keys: Sequence[str],
        bodies: Sequence[Mapping[str, object]],
        deadline: float,
    ) -> list[Answer]:
        body = _ENCODER.encode({"items": bodies})
        try:
            status, answer = self._send("POST", f"{resource}/{verb}", body, deadline)
        except ExchangeError as error:
            return [_unanswered(key, error) for key in keys]
        return outcomes.of_bulk(verb, keys, status, answer)

    def _ask_single(
        self,
        verb: Verb,
        resource: str,
        keys: Sequence[str],
        bodies: Sequence[Mapping[str, object]],
        deadline: float,
    ) -> list[Answer]:
        (key,) = keys
        body = _ENCODER.encode(bodies[0]) if verb is Verb.DO else b""
        try:
            status, answer = self._send(_METHODS[verb], f"{resource}/{quote(key, safe=':')}", body, deadline)
        except ExchangeError as error:
            return [_unanswered(key, error)]
        return [outcomes.of_single(verb, key, status, answer)]

    def _send(self, method: str, target: str, body: bytes, deadline: float) -> tuple[int, bytes]:
        head = f"{method} {self._path}/{target}{self._head}"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        request = f"{head}\r\n".encode("latin-1") + body
        return self._connections.exchange(request, method, deadline=deadline)

    def _side_by_side(self, work: Callable[[Job], None], jobs: Sequence[Job], most: int) -> None:
        """Do all jobs on so many threads at most, this one included; each job bounds itself."""
        remaining = iter(jobs)

        def work_off(_: object = None) -> None:
            for job in remaining:  # next() on an iterator is atomic under the GIL
                work(job)

        others = min(len(jobs), most) - 1
        started = [self._pool().submit(work_off) for _ in range(others)]
        work_off()
        for future in started:
            if not future.cancel():  # a thread that never got to it has nothing left to do
                future.result()

    def _pool(self) -> ThreadPoolExecutor:
        with self._threads_lock:
            if self._threads is None or self._threads_pid != os.getpid():  # threads do not survive a fork
                self._threads = ThreadPoolExecutor(
                    REQUESTS_SIDE_BY_SIDE, thread_name_prefix=f"ask-{self.name}"
                )
                self._threads_pid = os.getpid()
            return self._threads


def _unanswered(key: str, error: ExchangeError) -> Answer:
    return Answer(key, Verdict.IN_DOUBT if error.sent else Verdict.UNAVAILABLE, reason=error.reason)
