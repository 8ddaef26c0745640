"""Watches in Postgres how the accepted orders end: one set-based look at those that have not, oldest first."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from infra.demo.journal import Promise

LOOK_AT_MOST = 5_000  # orders per look

_ENDED = text("""
    SELECT id, status IN ('FAILED', 'CANCELLED') AS failed, extract(epoch FROM updated_at)::float AS at
    FROM uoop_orders WHERE id = ANY(:ids) AND status <> 'PENDING'
""")
_PARKED = text("""
    SELECT o.id FROM uoop_orders o JOIN runs r ON r.id = o.run_id
    WHERE o.id = ANY(:ids) AND o.status = 'PENDING' AND r.state = 'p'
""")


@dataclass(frozen=True, slots=True)
class Look:
    """
    What one look has found.

    :param slow_s: from sending to the end, of the slowest twentieth of those that have newly ended; None: of none
    """

    ended: int
    slow_s: float | None


class Watch:
    """Counts of this run's orders. Not for several threads; the counts may be read by others."""

    def __init__(self, engine: Engine) -> None:
        self.confirmed = self.failed = 0
        self.parked: set[str] = set()
        self.away_s = 0.0  # for how long Postgres has not answered
        self._engine = engine
        self._pending: dict[str, float] = {}
        self._answered_at = time.monotonic()

    @property
    def ended(self) -> int:
        return self.confirmed + self.failed

    @property
    def pending(self) -> int:
        """Accepted orders that have neither ended nor been parked, as far as we have seen."""
        return len(self._pending) - len(self.parked)

    def add(self, promises: Iterable[Promise]) -> None:
        """Watch these too."""
        self._pending.update((promise.id, promise.first_sent_at) for promise in promises)

    def look(self, *, parked: bool = False) -> Look:
        """
        Take note of the orders that have ended; while Postgres is away, nothing has.

        :param parked: look for parked ones as well
        """
        waiting = list(islice(self._pending, LOOK_AT_MOST))
        try:
            with self._engine.connect() as connection:
                found = self._ended(connection, waiting)
                if parked and waiting:
                    self.parked |= {row.id for row in connection.execute(_PARKED, {"ids": waiting})}
        except SQLAlchemyError:
            self.away_s = time.monotonic() - self._answered_at
            return Look(0, None)
        self.away_s, self._answered_at = 0.0, time.monotonic()
        return found

    def _ended(self, connection: Connection, waiting: list[str]) -> Look:
        if not waiting:
            return Look(0, None)
        took = []
        for row in connection.execute(_ENDED, {"ids": waiting}):
            self.failed += row.failed
            self.confirmed += not row.failed
            self.parked.discard(row.id)
            took.append(row.at - self._pending.pop(row.id))
        took.sort()
        return Look(len(took), took[int(len(took) * 0.95)] if took else None)
