"""
Whether the way of events through Postgres ever bloats: `python -m benchmarks.outbox_bloat --events 2000000`.

Writes events into the outbox set by set, lets the sequencer move and a relay publish them (to a sink that takes
everything), and lets retention drop what is a week old; a day is so many events, whatever the clock says. Nothing is
vacuumed but by Postgres' own autovacuum. Prints for each day the events a second and, of each table with its indexes,
megabytes and dead rows. Exits 1 if a table was larger in the second half than in the first, of which the week that is
kept must be a part, by more than a quarter and a megabyte.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from app import database, partitions
from app.outbox import sequencer
from app.outbox.model import Event
from app.outbox.relay import Relay
from benchmarks import stores

DAYS = 20
SET = 5_000
MB = 1 << 20
TABLES = ("outbox_in", "outbox_log", "outbox_sequencer", "sinks", "leases")
LOG = partitions.of("outbox_log")

_WRITE = text("""
    INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data)
    SELECT 'default', gen_random_uuid()::text, 1, 'order.accepted', '{"status":"PENDING"}'
    FROM generate_series(1, :events)
""")
_SIZES = text("""
    SELECT split_part(c.relname, '_2', 1) AS name, sum(pg_total_relation_size(c.oid))::bigint AS bytes,
        sum(pg_stat_get_dead_tuples(c.oid))::bigint AS dead
    FROM pg_class c WHERE c.relkind = 'r' AND split_part(c.relname, '_2', 1) = ANY(:names) GROUP BY 1
""")


@dataclass(frozen=True, slots=True)
class Size:
    """Of a table, with its partitions and indexes."""

    bytes: int
    dead: int


class Everything:
    """A sink that takes all."""

    name = "everything"

    def position(self) -> None:
        """It keeps no account."""

    def publish(self, events: Sequence[Event]) -> None:
        """Taken."""

    publish_again = publish


class Days:
    """Lets days go by."""

    def __init__(self, db: Engine) -> None:
        self._db, self._relay = db, Relay(db, Everything(), holder="benchmark")
        self._relay.run_once()  # makes itself known
        self.began = self._now = datetime.now(UTC)

    def go_by(self, events: int) -> None:
        """One day: so many events are written, moved and published, and the oldest day's go."""
        partitions.maintain(self._db, now=self._now, tables=[LOG])
        with self._db.begin() as connection:
            connection.execute(text("UPDATE outbox_sequencer SET day = :day"), {"day": self._now.date()})
        for written in range(0, events, SET):
            with self._db.begin() as connection:
                connection.execute(_WRITE, {"events": min(SET, events - written)})
            with self._db.begin() as connection:
                sequencer.sequence(connection)
            while self._relay.run_once():
                pass
        self._now += timedelta(days=1)

    def sizes(self) -> dict[str, Size]:
        """By table."""
        with self._db.connect() as connection:
            found = connection.execute(_SIZES, {"names": list(TABLES)})
            return {row.name: Size(row.bytes, row.dead) for row in found}


def main() -> int:
    """Exit status 0 if nothing grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--events", type=int, default=2_000_000)
    a_day = parser.parse_args().events // DAYS
    with stores.started("bloat") as settings:
        db = database.engine(settings.database_url.get_secret_value(), pool_size=1)
        days, seen = Days(db), []
        sys.stdout.write("   day  events/s  " + "  ".join(f"{name:>24}" for name in TABLES) + "\n")
        for day in range(1, DAYS + 1):
            began = time.monotonic()
            days.go_by(a_day)
            took_s = time.monotonic() - began
            seen.append(days.sizes())
            told = (
                f"{size.bytes / MB:9.1f} MB {size.dead:7,} dead" for size in map(seen[-1].get, TABLES) if size
            )
            sys.stdout.write(f"{day:6}  {a_day / took_s:8,.0f}  {'  '.join(told)}\n")
            sys.stdout.flush()
        db.dispose()
    grown = [name for name in TABLES if has_grown([sizes[name].bytes for sizes in seen])]
    sys.stdout.write(f"grown: {', '.join(grown) or 'none'}\n")
    return 1 if grown else 0


def has_grown(sizes: Sequence[int]) -> bool:
    """Whether a table was larger in the second half, by more than a quarter and a megabyte."""
    half = len(sizes) // 2
    return max(sizes[half:]) > 1.25 * max(sizes[:half]) + MB


if __name__ == "__main__":
    sys.exit(main())
