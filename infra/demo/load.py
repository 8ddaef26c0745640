"""
The load generator: one thread, raw kept-alive sockets, every order sent under one key until it is answered.

A lost connection, a server's failure or an answer that is none make the order be sent again with the same
key; only 202 and a final refusal end that. 503 and 429 make everybody wait, but in an open loop only that order.
"""

import heapq
import secrets
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from infra.demo import wire
from infra.demo.city import Order
from infra.demo.journal import Journal, Promise
from infra.demo.pacing import Pace, Verdict, again_in_s, verdict
from infra.demo.wire import Answer, NotHttp

CONNECTIONS = 64
ANSWER_WITHIN_S = 12.0  # the API answers within 10
CONNECT_WITHIN_S = 2.0
RECONNECT_EVERY_S = 0.2
LOOK_EVERY_S = 0.5
LONGEST_NAP_S = 0.02


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order that the platform has refused for good."""

    order: Order
    status: int
    body: bytes


@dataclass(slots=True)
class Tally:
    """What has happened so far; read by others while it grows."""

    sent: int = 0
    accepted: int = 0
    shed: int = 0  # answers 503 and 429
    resent: int = 0
    behind_s: float = 0.0  # the most that an order was sent after its moment
    cpu_s: float = 0.0
    first_sent_at: float = 0.0
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(slots=True)
class _Task:
    order: Order
    key: str
    request: bytes
    first_sent_at: float = 0.0
    sent_at: float = 0.0
    tries: int = 0


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    task: _Task | None = None
    received: bytes = b""


class Load:
    """One run's sending. `run` blocks; the other attributes may be read and set from other threads."""

    def __init__(self, host: str, port: int, token: str, *, connections: int = CONNECTIONS) -> None:
        self.tally = Tally()
        self.promises: deque[Promise] = deque()  # not yet taken by the one who watches
        self.ended = 0  # set by the one who watches: how many accepted orders have ended
        self.stopped = False  # set by anybody: send no more, and leave what is unanswered
        self._address, self._most = (host, port), connections
        self._head = wire.head(host, port, token)
        self._selector = selectors.DefaultSelector()
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._again: list[tuple[float, int, _Task]] = []  # heap by the time from which they may be sent
        self._turn, self._number = count(), count()
        self._run = secrets.token_hex(6)
        self._next: _Task | None = None
        self._quiet_until = self._connect_after = self._look_after = 0.0

    @property
    def outstanding(self) -> int:
        """Orders sent that have neither been refused nor ended."""
        return self.tally.sent - len(self.tally.refusals) - self.ended

    @property
    def unanswered(self) -> int:
        """Orders sent of which nobody knows what became of them."""
        return self.tally.sent - self.tally.accepted - len(self.tally.refusals)

    def run(self, orders: Iterator[Order], pace: Pace, journal: Journal) -> None:
        """Send all orders and wait until each is answered, or until we are stopped."""
        began, cpu_began = time.monotonic(), time.thread_time()
        self._next = self._task(orders)
        try:
            while not self.stopped and (self._next or self.unanswered):
                now = time.monotonic()
                nap_s = self._send(orders, pace, began, now)
                for key, _ in self._selector.select(nap_s):
                    self._read(key.data, journal)
                journal.flush()
                if now >= self._look_after:
                    self._look(now)
                    self.tally.cpu_s = time.thread_time() - cpu_began
        finally:
            for connection in list(self._open):
                self._close(connection)
            self._selector.close()
            self.tally.cpu_s = time.thread_time() - cpu_began

    def _send(self, orders: Iterator[Order], pace: Pace, began: float, now: float) -> float:
        """Send what may be sent now; returns how long to wait for answers before the next call, in seconds."""
        if pace.heeds and now < self._quiet_until:
            return min(self._quiet_until - now, LONGEST_NAP_S)
        while connection := self._free(now):
            if self._again and self._again[0][0] <= now:
                self.tally.resent += 1
                self._put(connection, heapq.heappop(self._again)[2])
                continue
            due_in_s = pace.due_in_s(now - began, self.outstanding) if self._next else None
            if self._next is None or due_in_s is None or due_in_s > 0:
                self._idle.append(connection)
                return LONGEST_NAP_S if due_in_s is None else min(due_in_s, LONGEST_NAP_S)
            self.tally.behind_s = max(self.tally.behind_s, -due_in_s)
            task, self._next = self._next, self._task(orders)
            self.tally.sent += 1
            pace.sent()
            self._put(connection, task)
        return LONGEST_NAP_S

    def _task(self, orders: Iterator[Order]) -> _Task | None:
        order = next(orders, None)
        if order is None:
            return None
        key = f"{self._run}-{next(self._number)}"
        return _Task(order, key, wire.request(self._head, key, order.body))

    def _put(self, connection: _Connection, task: _Task) -> None:
        task.sent_at = time.time()
        if not task.tries:
            task.first_sent_at = task.sent_at
            self.tally.first_sent_at = self.tally.first_sent_at or task.sent_at
        task.tries += 1
        connection.task = task
        try:
            # The buffer of a connection without another request takes all of it at once.
            whole = connection.socket.send(task.request) == len(task.request)
        except OSError:
            whole = False
        if not whole:
            self._lose(connection)

    def _read(self, connection: _Connection, journal: Journal) -> None:
        try:
            piece = connection.socket.recv(65_536)
            connection.received += piece
            if connection.task is None or not piece:
                self._lose(connection)
            elif answer := wire.answer(connection.received):
                self._take(connection, connection.task, answer, journal)
        except BlockingIOError:
            return
        except (OSError, NotHttp):
            self._lose(connection)

    def _take(self, connection: _Connection, task: _Task, answer: Answer, journal: Journal) -> None:
        connection.task, connection.received = None, b""
        if answer.closes:
            self._close(connection)
        else:
            self._idle.append(connection)
        meaning = verdict(answer.status)
        if meaning is Verdict.ACCEPTED and (tracking_id := answer.tracking_id):
            promise = Promise(tracking_id, task.key, task.first_sent_at, task.sent_at, time.time())
            journal.append(promise)
            self.promises.append(promise)
            self.tally.accepted += 1
        elif meaning is Verdict.REFUSED:
            self.tally.refusals.append(Refusal(task.order, answer.status, answer.body))
        else:
            wait_s = self._later(task, answer.retry_after_s)
            if meaning is Verdict.SLOWER:
                self.tally.shed += 1
                self._quiet_until = max(self._quiet_until, time.monotonic() + wait_s)

    def _lose(self, connection: _Connection) -> None:
        """The connection is gone; whether its request was received is not known, so it is sent again."""
        task = connection.task
        self._close(connection)
        if task:
            self._later(task, None)

    def _later(self, task: _Task, retry_after_s: float | None) -> float:
        wait_s = again_in_s(task.tries, retry_after_s)
        heapq.heappush(self._again, (time.monotonic() + wait_s, next(self._turn), task))
        return wait_s

    def _free(self, now: float) -> _Connection | None:
        if self._idle:
            return self._idle.pop()
        if len(self._open) >= self._most or now < self._connect_after:
            return None
        try:
            opened = socket.create_connection(self._address, CONNECT_WITHIN_S)
        except OSError:
            self._connect_after = now + RECONNECT_EVERY_S
            return None
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(opened)
        self._open.add(connection)
        self._selector.register(opened, selectors.EVENT_READ, connection)
        return connection

    def _close(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        with suppress(KeyError, ValueError):
            self._selector.unregister(connection.socket)
        connection.socket.close()

    def _look(self, now: float) -> None:
        """Give up connections that have been silent for too long."""
        self._look_after = now + LOOK_EVERY_S
        silent_since = time.time() - ANSWER_WITHIN_S
        for connection in list(self._open):
            if connection.task and connection.task.sent_at < silent_since:
                self._lose(connection)
