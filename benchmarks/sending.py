"""Sending orders to a platform in the three ways that parts need, and reading afterwards how these fared."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import ClassVar

from sqlalchemy import text

from app.orders.model import Status
from app.tenants.service import DEFAULT_TENANT
from benchmarks import figures
from benchmarks.cpu import Meter
from benchmarks.ground import Ground
from infra.demo import arrivals, city, journal, report
from infra.demo.journal import Journal, Promise
from infra.demo.load import Load, Tally
from infra.demo.pacing import Pace, Schedule, Window
from infra.demo.watch import Watch

CONNECTIONS = 256
LOOK_EVERY_S = 0.2
CLOCKS_DIFFER_S = 1.0
SHORTEST_S = 3.0  # of a closed loop, however short a trial: several cohorts must end
ENDED_WITHIN_S = 60.0  # after the last was sent; who has not, is counted as such
ENDLESS = 500_000  # orders: more than are sent in the time

_COHORTS = text("""
    SELECT count(*) AS cohorts, coalesce(avg(size), 0)::float AS size FROM cohorts
    WHERE lane = 'front' AND direction = 'f' AND created_at > to_timestamp(:since)
""")


_TOOK = text("""
    SELECT extract(epoch FROM e.at - o.created_at)::float
    FROM uoop_orders o LEFT JOIN LATERAL (
        SELECT at FROM outbox_log WHERE order_id = o.id AND type = 'order.confirmed'
        UNION ALL SELECT at FROM outbox_in WHERE order_id = o.id AND type = 'order.confirmed' LIMIT 1) e ON true
    WHERE o.tenant_id = :tenant AND o.created_at BETWEEN :since AND :until
""")


class FlatOut:
    """Closed loop: whatever connection is free sends the next order."""

    heeds: ClassVar[bool] = True

    def due_in_s(self, elapsed_s: float, outstanding: int) -> float | None:
        return 0.0

    def sent(self) -> None:
        """Nothing is kept."""

    def adapt(self, now_s: float, *, slow_s: float | None, outstanding: int, shed: int) -> None:
        """Nothing is learned."""


@dataclass(frozen=True)
class Sent:
    """
    One sending.

    :param rate: orders a second of an open loop, where order n had its moment n / rate after the first; else None
    :param meter: of the sending, and where it was said so, until everything had ended
    """

    path: Path
    promises: Sequence[Promise]
    tally: Tally
    meter: Meter
    rate: float | None
    sent_for_s: float
    ends: Mapping[str, tuple[str, float]] = field(default_factory=dict)  # status and time by order id

    @property
    def answers_s(self) -> list[float]:
        """Seconds from each order's moment to its 202, ascending; in a closed loop from its sending."""
        return sorted(promise.accepted_at - self._moment(promise) for promise in self.promises)

    @property
    def waits_s(self) -> list[float]:
        """Seconds from each order's moment to the commit of CONFIRMED, ascending."""
        confirmed = ((promise, self.ends.get(promise.id)) for promise in self.promises)
        return sorted(
            end[1] - self._moment(promise) for promise, end in confirmed if end and end[0] == "CONFIRMED"
        )

    @property
    def unended(self) -> int:
        return len(self.promises) - len(self.ends)

    @property
    def backlog(self) -> list[int]:
        """Orders inside at every full second of the sending."""
        return figures.inside(
            sorted(promise.accepted_at for promise in self.promises),
            sorted(at for _, at in self.ends.values()),
            since=self.tally.first_sent_at,
            seconds=int(self.sent_for_s),
        )

    def ended_per_s(self) -> float:
        return figures.throughput(sorted(at for _, at in self.ends.values()))

    def _moment(self, promise: Promise) -> float:
        if self.rate is None:
            return promise.first_sent_at
        return self.tally.first_sent_at + int(promise.key.rpartition("-")[2]) / self.rate


def _untold(_: Promise) -> None:
    """Nobody wants to know."""


def answered(
    ground: Ground,
    seconds: float,
    *,
    rate: float | None = None,
    promised: Callable[[Promise], None] = _untold,
) -> Sent:
    """
    Send until each order is answered; nobody waits for their ends. Without a rate as fast as they are answered.

    :param promised: is told of each order soon after its 202
    """
    pace: Pace = Schedule(arrivals.evenly(ENDLESS, rate=rate)) if rate else FlatOut()
    orders = city.orders(ground.city, round(rate * seconds)) if rate else _for(seconds, _endless(ground))
    return _send(ground, orders, pace, rate, CONNECTIONS, partial(_until_sent, promised), settle=False)


def at_rate(ground: Ground, rate: float, seconds: float, *, failure_rate: float = 0.0) -> Sent:
    """Open loop; returns when every order has ended and every event is delivered, with the CPU until then."""
    count = round(rate * seconds)
    orders = city.orders(ground.city, count, failure_rate=failure_rate)
    pace = Schedule(arrivals.evenly(count, rate=rate))
    return _send(ground, orders, pace, rate, 2 * CONNECTIONS, partial(_until_sent, _untold), settle=True)


def at_most(ground: Ground, seconds: float, *, failure_rate: float = 0.0) -> Sent:
    """Closed loop: so many orders inside that the slowest twentieth takes a second; CPU until all have ended."""
    window, seconds = Window(), max(seconds, SHORTEST_S)

    def watch(load: Load, sender: threading.Thread) -> None:
        seen, until = Watch(ground.engine), time.monotonic() + seconds + ENDED_WITHIN_S
        while (sender.is_alive() or load.promises or seen.pending) and time.monotonic() < until:
            while load.promises:
                seen.add([load.promises.popleft()])
            slow_s = seen.look(parked=False)
            outstanding, load.ended = load.outstanding, seen.ended
            window.adapt(time.monotonic(), slow_s=slow_s, outstanding=outstanding, shed=load.tally.shed)
            time.sleep(LOOK_EVERY_S)

    orders = _for(seconds, _endless(ground, failure_rate))
    return _send(ground, orders, window, None, CONNECTIONS, watch, settle=True)


def took_s(
    ground: Ground, since: datetime, until: datetime, *, within_s: float, tenant: str = DEFAULT_TENANT
) -> list[float | None]:
    """From acceptance to confirmation of the tenant's orders accepted then; None: not within the bound from now."""
    values = {"tenant": tenant, "since": since, "until": until}
    end = time.monotonic() + within_s
    while True:
        with ground.engine.connect() as connection:
            found = list(connection.execute(_TOOK, values).scalars())
        if None not in found or time.monotonic() > end:
            return found
        time.sleep(0.5)


def cohorts(ground: Ground, sent: Sent) -> tuple[int, float]:
    """How many cohorts have carried these orders, and how many orders travelled in one."""
    with ground.engine.connect() as connection:
        row = connection.execute(_COHORTS, {"since": sent.tally.first_sent_at}).one()
    return row.cohorts, round(row.size, 1)


def _endless(ground: Ground, failure_rate: float = 0.0) -> Iterator[city.Order]:
    return city.orders(ground.city, ENDLESS, failure_rate=failure_rate)


def _for(seconds: float, orders: Iterator[city.Order]) -> Iterator[city.Order]:
    end = time.monotonic() + seconds
    return takewhile(lambda _: time.monotonic() < end, orders)


def _until_sent(promised: Callable[[Promise], None], load: Load, sender: threading.Thread) -> None:
    while sender.is_alive():
        load.ended = load.tally.accepted  # whoever waits for ends does so afterwards
        while load.promises:
            promised(load.promises.popleft())
        sender.join(LOOK_EVERY_S)


def _send(
    ground: Ground,
    orders: Iterator[city.Order],
    pace: Pace,
    rate: float | None,
    connections: int,
    watch: Callable[[Load, threading.Thread], None],
    *,
    settle: bool,
) -> Sent:
    load = Load(ground.settings.host, ground.settings.port, ground.token, connections=connections)
    path = ground.settings.home / "journals" / f"{time.time_ns()}.jsonl"
    with ground.meter() as meter:
        began = time.monotonic()
        with Journal(path) as kept:
            sender = threading.Thread(target=load.run, args=(orders, pace, kept), name="load", daemon=True)
            sender.start()
            watch(load, sender)
            sender.join()
        sent_for_s = time.monotonic() - began
        if settle:
            ground.settle(since=load.tally.first_sent_at - CLOCKS_DIFFER_S, within_s=ENDED_WITHIN_S)
    promises = list(journal.read(path))
    ends = _ends(ground, [promise.id for promise in promises]) if settle else {}
    return Sent(path, promises, load.tally, meter, rate, sent_for_s, ends)


def _ends(ground: Ground, ids: Sequence[str]) -> dict[str, tuple[str, float]]:
    with ground.engine.connect() as connection:
        ahead_s = report.clock_ahead_s(connection)
        return {
            row.id: (row.status, row.ended_at + ahead_s)
            for row in report.standing(connection, ids, ground.saga)
            if row.status != Status.PENDING
        }
