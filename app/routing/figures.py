"""
How delivery partners do: calls by what came of them, and deliveries by whether they kept their time, by the minute.

Each process adds up what it has seen and writes it every few seconds, all partners in one statement.
"""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import InterfaceError, OperationalError

from app.database import rows

KEPT = timedelta(days=7)
WRITE_EVERY_S = 5.0
CALLS_WITHIN = timedelta(minutes=5)  # what matters of calls is how they go now
DELIVERIES_WITHIN = timedelta(hours=6)

_ADD = text("""
    INSERT INTO partner_figures AS f (partner, minute, calls, failed, answered_s, taken, refused)
    SELECT partner, date_trunc('minute', clock_timestamp()), calls, failed, answered_s, taken, refused
    FROM json_to_recordset(CAST(:rows AS json)) AS n(partner text, calls integer, failed integer,
        answered_s double precision, taken integer, refused integer) ORDER BY partner
    ON CONFLICT (partner, minute) DO UPDATE SET calls = f.calls + excluded.calls, failed = f.failed + excluded.failed,
        answered_s = f.answered_s + excluded.answered_s, taken = f.taken + excluded.taken,
        refused = f.refused + excluded.refused
""")
_DELIVERED = text("""
    INSERT INTO partner_figures AS f (partner, minute, delivered, on_time)
    SELECT o.partner, date_trunc('minute', clock_timestamp()), count(*), count(*) FILTER (WHERE d.at <= o.eta)
    FROM json_to_recordset(CAST(:rows AS json)) AS d(order_id text, at timestamptz)
    JOIN uoop_orders o ON o.id = d.order_id WHERE o.partner IS NOT NULL AND o.eta IS NOT NULL
    GROUP BY o.partner ORDER BY o.partner
    ON CONFLICT (partner, minute) DO UPDATE SET delivered = f.delivered + excluded.delivered,
        on_time = f.on_time + excluded.on_time
""")
_SUMS = text("""
    SELECT partner, sum(calls) FILTER (WHERE recent) AS calls, sum(failed) FILTER (WHERE recent) AS failed,
        sum(answered_s) FILTER (WHERE recent) AS answered_s,
        sum(taken) FILTER (WHERE minute > now() - interval '1 h') AS taken_in_hour,
        sum(delivered) AS delivered, sum(on_time) AS on_time
    FROM (SELECT *, minute > now() - :calls_within AS recent FROM partner_figures
        WHERE minute > now() - :deliveries_within) f
    GROUP BY partner
""")


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    failed: int = 0
    answered_s: float = 0.0
    taken: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """
    How a partner has done lately: calls of the last minutes, orders taken within the hour, deliveries of some hours.

    :param answered_s: of all answered calls together
    """

    calls: int = 0
    failed: int = 0
    answered_s: float = 0.0
    taken_in_hour: int = 0
    delivered: int = 0
    on_time: int = 0

    @property
    def answered_share(self) -> float:
        """Of calls; of few calls nothing much is concluded."""
        return (self.calls - self.failed + 50.0) / (self.calls + 50.0)

    @property
    def on_time_share(self) -> float:
        """Of deliveries; taken for 90 in 100 until there are some."""
        return (self.on_time + 18.0) / (self.delivered + 20.0)

    @property
    def mean_answer_s(self) -> float | None:
        answered = self.calls - self.failed
        return self.answered_s / answered if answered else None


class Recorder:
    """Adds up what one process sees; for all its threads."""

    def __init__(self, engine: Engine, *, write_every_s: float = WRITE_EVERY_S) -> None:
        self._engine, self._every_s = engine, write_every_s
        self._lock = threading.Lock()
        self._sums: dict[str, _Sum] = {}
        self._written_at, self._pid = time.monotonic(), os.getpid()

    def add(self, partner: str, *, failed: bool, took_s: float, taken: int, refused: int) -> None:
        """One call."""
        with self._lock:
            if self._pid != os.getpid():  # what the parent had added up is the parent's
                self._sums, self._pid = {}, os.getpid()
            its = self._sums.setdefault(partner, _Sum())
            its.calls += 1
            its.failed += failed
            its.answered_s += 0.0 if failed else took_s
            its.taken += taken
            its.refused += refused
            if time.monotonic() - self._written_at < self._every_s:
                return
            sums, self._sums, self._written_at = self._sums, {}, time.monotonic()
        with suppress(OperationalError, InterfaceError), self._engine.begin() as connection:
            values = [{"partner": name, **asdict(its)} for name, its in sums.items()]
            connection.execute(_ADD, {"rows": rows(values)})


def note_deliveries(connection: Connection, delivered: Sequence[tuple[str, datetime]]) -> None:
    """Orders that have come to the door, with the time: were they promised for it?"""
    if delivered:
        values = [{"order_id": order_id, "at": at} for order_id, at in delivered]
        connection.execute(_DELIVERED, {"rows": rows(values)})


def latest(connection: Connection) -> dict[str, Figures]:
    """By partner; who is missing has done nothing lately."""
    result = connection.execute(
        _SUMS, {"calls_within": CALLS_WITHIN, "deliveries_within": DELIVERIES_WITHIN}
    ).mappings()
    return {
        row["partner"]: Figures(**{name: row[name] or 0 for name in row if name != "partner"})
        for row in result
    }


def forget(connection: Connection, *, before: datetime) -> None:
    """Drop what is older."""
    connection.execute(text("DELETE FROM partner_figures WHERE minute < :before"), {"before": before})
