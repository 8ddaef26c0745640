"""Watches in Postgres how the accepted orders end: one set-based look at those that have not, oldest first."""

from collections.abc import Iterable
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


class Watch:
    """Counts of this run's orders. Not for several threads; the counts may be read by others."""

    def __init__(self, engine: Engine) -> None:
        self.confirmed = self.failed = 0
        self.parked: set[str] = set()
        self._engine = engine
        self._pending: dict[str, float] = {}

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

    def look(self, *, parked: bool = False) -> float | None:
        """
        Take note of the orders that have ended; while Postgres is away, nothing has.

        :param parked: look for parked ones as well
        :return: seconds from sending to the end, of the slowest twentieth of the newly ended; None: of none
        """
        waiting = list(islice(self._pending, LOOK_AT_MOST))
        try:
            with self._engine.connect() as connection:
                slow_s = self._ended(connection, waiting)
                if parked and waiting:
                    self.parked |= {row.id for row in connection.execute(_PARKED, {"ids": waiting})}
        except SQLAlchemyError:
            return None
        return slow_s

    def _ended(self, connection: Connection, waiting: list[str]) -> float | None:
        if not waiting:
            return None
        took = []
        for row in connection.execute(_ENDED, {"ids": waiting}):
            self.failed += row.failed
            self.confirmed += not row.failed
            self.parked.discard(row.id)
            took.append(row.at - self._pending.pop(row.id))
        took.sort()
        return took[int(len(took) * 0.95)] if took else None
