"""What a run came to: counts and times of the orders in its journal, from Postgres."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, text

from app.orders.model import Status
from app.runs.model import RunState
from infra.demo.journal import Promise
from sagas.definition import Saga
from sagas.fulfill_order import FULFILL_ORDER
from sagas.steps import confirm_order

CHUNK = 50_000  # orders per statement
COUNTED_SHARE = 0.95  # the last orders are often retries: throughput is measured until these have ended

_UNDONE = (Status.FAILED, Status.CANCELLED)

_CLOCK = text("SELECT extract(epoch FROM clock_timestamp())::float")
_TRACKED = text("SELECT current_setting('track_commit_timestamp') = 'on'")
# A confirmed order is written again, when its courier is exchanged or its meal is delivered; an outcome is not.
_ORDERS = """
    SELECT o.id, o.status, coalesce((o.failure ->> 'compensated')::boolean, false) AS compensated,
        o.failure ->> 'code' AS code, r.state AS run_state, extract(epoch FROM {ended})::float AS ended_at
    FROM uoop_orders o LEFT JOIN runs r ON r.id = o.run_id
    LEFT JOIN LATERAL (SELECT xmin FROM outcomes WHERE (run_id, step, verdict) = (o.run_id, :confirm, 'd')
        ORDER BY cohort_id LIMIT 1) x ON true
    WHERE o.id = ANY(:ids)
"""
_COMMITTED = "coalesce(pg_xact_commit_timestamp(coalesce(x.xmin, o.xmin)), o.updated_at)"
_POSITION = text("SELECT pos, day FROM outbox_sequencer")
_EVENTS = text("""
    SELECT count(*) AS events, count(d.at) AS delivered,
        percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM d.at - e.at))::float AS p99_s
    FROM outbox_log e JOIN unnest(CAST(:ids AS text[])) AS mine(id) ON mine.id = e.order_id
    LEFT JOIN (
        SELECT pos, max(at) AS at FROM (
            SELECT sink, pos, min(delivered_at) AS at
            FROM deliveries CROSS JOIN LATERAL generate_series(first_pos, last_pos) AS pos
            WHERE last_pos > :pos GROUP BY sink, pos
        ) each_sink GROUP BY pos
    ) d ON d.pos = e.pos
    WHERE e.day >= :day AND e.pos > :pos
""")
_UNDELIVERED = text("""
    SELECT (SELECT count(*) FROM outbox_in)
        + (SELECT coalesce(max(q.pos - s.pos), 0) FROM outbox_sequencer q CROSS JOIN sinks s)
""")


@dataclass(frozen=True, slots=True)
class Mark:
    """The outbox's position before a run."""

    pos: int
    day: date


@dataclass(frozen=True, slots=True)
class Outcomes:
    """
    How the accepted orders stand. Those that Postgres does not know, or that have neither ended nor been
    parked, are lost: accepted = confirmed + compensated + failed + parked + lost.

    :param failed: refused before anything had been begun
    :param waits_s: from the client's first sending to the commit of CONFIRMED, ascending
    :param ends: when orders ended, epoch seconds, ascending
    """

    accepted: int
    confirmed: int = 0
    compensated: int = 0
    failed: int = 0
    parked: int = 0
    waits_s: Sequence[float] = ()
    ends: Sequence[float] = ()
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        return self.accepted - self.confirmed - self.compensated - self.failed - self.parked

    def orders_per_s(self, first_sent_at: float) -> float:
        """Ended orders over the time until 95 % of them had ended."""
        counted = int(len(self.ends) * COUNTED_SHARE)
        took_s = self.ends[counted - 1] - first_sent_at if counted else 0.0
        return counted / took_s if took_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Events:
    """
    The run's events in the outbox's log.

    :param p99_s: from the event to its delivery to the slowest sink's batch; None: nothing was delivered
    """

    count: int
    delivered: int
    p99_s: float | None


def mark(connection: Connection) -> Mark:
    """Where the outbox stands now."""
    return Mark(*connection.execute(_POSITION).one())


def outcomes(connection: Connection, promises: Sequence[Promise], *, clock_ahead_s: float) -> Outcomes:
    """
    Count and time the orders.

    :param clock_ahead_s: of the client, against Postgres (see `clock_ahead_s`)
    """
    sent_at = {promise.id: promise.first_sent_at - clock_ahead_s for promise in promises}
    counts = dict.fromkeys(("confirmed", "compensated", "failed", "parked"), 0)
    waits_s, ends, reasons = [], [], dict[str, int]()
    for row in standing(connection, list(sent_at)):
        what = _what(row.status, row.compensated, row.run_state)
        if what is None:
            continue
        counts[what] += 1
        if what != "parked":
            ends.append(row.ended_at + clock_ahead_s)
        if what == "confirmed":
            waits_s.append(row.ended_at - sent_at[row.id])
        elif row.code:
            reasons[row.code] = reasons.get(row.code, 0) + 1
    return Outcomes(
        accepted=len(sent_at), **counts, waits_s=sorted(waits_s), ends=sorted(ends), reasons=reasons
    )


def events(connection: Connection, promises: Sequence[Promise], since: Mark) -> Events:
    """Count and time what was published of the orders after the mark."""
    ids = [promise.id for promise in promises]
    row = connection.execute(_EVENTS, {"ids": ids, "pos": since.pos, "day": since.day}).one()
    return Events(row.events, row.delivered, row.p99_s)


def undelivered(connection: Connection) -> int:
    """How many events are on their way to a sink."""
    return int(connection.execute(_UNDELIVERED).scalar_one())


def clock_ahead_s(connection: Connection) -> float:
    """How far this machine's clock is ahead of Postgres's, to half a round trip."""
    connection.execute(_CLOCK).scalar_one()
    asked_at = time.time()
    theirs = float(connection.execute(_CLOCK).scalar_one())
    return (asked_at + time.time()) / 2 - theirs


def percentile(ascending: Sequence[float], share: float) -> float | None:
    """The value that this share of the values does not exceed; None of none."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))] if ascending else None


def standing(connection: Connection, ids: Sequence[str], saga: Saga = FULFILL_ORDER) -> Iterator[Row[Any]]:
    """
    How orders stand: id, status, compensated, code, run_state and ended_at, epoch seconds by Postgres's clock:
    when CONFIRMED was committed, else when the order was written last.

    :param saga: that has carried them
    """
    tracked = connection.execute(_TRACKED).scalar_one()
    query = text(_ORDERS.format(ended=_COMMITTED if tracked else "o.updated_at"))
    confirm = saga.numbers[confirm_order.NAME]
    for begin in range(0, len(ids), CHUNK):
        yield from connection.execute(query, {"ids": list(ids[begin : begin + CHUNK]), "confirm": confirm})


def _what(status: str, compensated: bool, run_state: str | None) -> str | None:
    """Where an order counts; None: nowhere yet."""
    if status in _UNDONE:
        return "compensated" if compensated else "failed"
    if status != Status.PENDING:
        return "confirmed"
    return "parked" if run_state == RunState.PARKED else None
