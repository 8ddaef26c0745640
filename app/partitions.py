"""
Tables that are dropped by age: made ahead, dropped behind.

A partition covers a whole number of days from the epoch on. Tables keyed by a time id (see the first
migration) have bounds in milliseconds shifted left by 21 bits; the others have timestamps.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from app import time_ids

AHEAD = timedelta(days=2)
LOCK_TIMEOUT_MS = 4_000
_LOCK = 7_305_002  # any constant: whoever makes or drops partitions takes the same lock


class Bound(Enum):
    """What the partition key is made of."""

    TIME = "time"
    TIME_ID = "time id"


@dataclass(frozen=True, kw_only=True)
class Partitioned:
    """One table's cut: every `days` days, dropped when wholly older than `retention`."""

    table: str
    retention: timedelta
    days: int = 1
    bound: Bound = Bound.TIME
    options: str = ""


A_MONTH = timedelta(days=31)
UPDATED_IN_PLACE = "WITH (fillfactor = 60)"

TABLES = (
    Partitioned(table="idempotency_keys", retention=A_MONTH, days=10),
    Partitioned(table="runs", retention=A_MONTH, bound=Bound.TIME_ID, options=UPDATED_IN_PLACE),
    Partitioned(table="cohorts", retention=A_MONTH, bound=Bound.TIME_ID),
    Partitioned(table="executions", retention=A_MONTH, bound=Bound.TIME_ID),
    Partitioned(table="outcomes", retention=A_MONTH, bound=Bound.TIME_ID),
    Partitioned(table="dispatch_attempts", retention=A_MONTH, bound=Bound.TIME_ID),
    Partitioned(table="routing_decisions", retention=A_MONTH, bound=Bound.TIME_ID),
    Partitioned(table="follow_ups", retention=A_MONTH, bound=Bound.TIME_ID),
    Partitioned(
        table="delivery_reports", retention=A_MONTH, days=10, bound=Bound.TIME_ID, options=UPDATED_IN_PLACE
    ),
    Partitioned(table="capacity_holds", retention=A_MONTH, bound=Bound.TIME_ID, options=UPDATED_IN_PLACE),
    Partitioned(table="outbox_log", retention=timedelta(days=7)),
    Partitioned(table="deliveries", retention=timedelta(days=7)),
    Partitioned(table="webhook_deliveries", retention=timedelta(days=7), options=UPDATED_IN_PLACE),
    Partitioned(table="dead_letters", retention=A_MONTH, days=10),
)


def of(table: str) -> Partitioned:
    """How this table is cut."""
    return next(each for each in TABLES if each.table == table)


def retention(table: str) -> timedelta:
    """How long the table's rows are kept."""
    return of(table).retention


def maintain(engine: Engine, *, now: datetime, tables: Sequence[Partitioned] = TABLES) -> list[str]:
    """
    Make the partitions of the coming days and drop those past their retention, while rows come and go.

    Each table by itself, and each statement its own transaction: no lock on one table is kept while another's is
    waited for, and none stops whoever reads or writes rows. A table that is too busy is left for the next time.

    :return: what was done, one line each
    :raises OperationalError: of the first table that could not be done; the others have been
    """
    done: list[str] = []
    failed: list[OperationalError] = []
    with _alone(engine) as connection:
        for table in tables:
            try:
                existing = _finished(connection, table)
                done += _make(connection, table, existing, now)
                done += _drop(connection, table, existing, now)
            except OperationalError as error:
                failed.append(error)
    if failed:
        raise failed[0]
    return done


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A connection without transactions, with which nobody else makes or drops partitions."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        try:
            connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_MS}"))
            yield connection
        finally:
            connection.invalidate()  # the session ends, and all that it was given


def _make(connection: Connection, table: Partitioned, existing: set[str], now: datetime) -> list[str]:
    made = []
    # yesterday's too: a legacy row, or a clock just behind midnight, still finds its place
    start = _period_start(table, now - timedelta(days=1))
    while start <= now + AHEAD:
        name, end = _name(table, start), start + timedelta(days=table.days)
        if name not in existing:
            # one string, so one transaction; attached, since CREATE ... PARTITION OF would stop all readers
            connection.execute(
                text(
                    f"CREATE TABLE {name} (LIKE {table.table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) "
                    f"{table.options};"
                    f"ALTER TABLE {table.table} ATTACH PARTITION {name} "
                    f"FOR VALUES FROM ({_literal(table, start)}) TO ({_literal(table, end)})"
                )
            )
            made.append(f"made {name}")
        start = end
    return made


def _drop(connection: Connection, table: Partitioned, existing: set[str], now: datetime) -> list[str]:
    oldest_kept = _name(table, _period_start(table, now - table.retention))
    stale = sorted(name for name in existing if name < oldest_kept)
    if table.bound is Bound.TIME_ID and stale:
        stale = [name for name in stale if not _has_live_runs(connection, name.rpartition("_")[2])]
    for name in stale:
        connection.execute(text(f"ALTER TABLE {table.table} DETACH PARTITION {name} CONCURRENTLY"))
        connection.execute(text(f"DROP TABLE {name}"))
    return [f"dropped {name}" for name in stale]


def _finished(connection: Connection, table: Partitioned) -> set[str]:
    """The table's partitions, after what was begun by somebody who did not come to its end."""
    result = connection.execute(
        text("""
            SELECT c.relname AS name, i.inhdetachpending AS pending FROM pg_class c
            LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname ~ :pattern
        """),
        {"pattern": f"^{table.table}_[0-9]{{8}}$"},
    ).all()
    for row in result:
        if row.pending:
            connection.execute(text(f"ALTER TABLE {table.table} DETACH PARTITION {row.name} FINALIZE"))
        if row.pending is not False:
            connection.execute(text(f"DROP TABLE {row.name}"))
    return {row.name for row in result if row.pending is False}


def _has_live_runs(connection: Connection, day: str) -> bool:
    """Whether a run of that day still waits, travels or is parked: then nothing of that day is dropped."""
    runs = f"runs_{day}"
    if connection.execute(text("SELECT to_regclass(:runs)"), {"runs": runs}).scalar_one() is None:
        return False
    return bool(
        connection.execute(text(f"SELECT EXISTS (SELECT FROM {runs} WHERE state <> 'e')")).scalar_one()
    )


def _period_start(table: Partitioned, at: datetime) -> datetime:
    day = int(at.timestamp() // 86_400)
    return datetime.fromtimestamp((day - day % table.days) * 86_400, UTC)


def _name(table: Partitioned, start: datetime) -> str:
    return f"{table.table}_{start:%Y%m%d}"


def _literal(table: Partitioned, at: datetime) -> str:
    return str(time_ids.floor(at)) if table.bound is Bound.TIME_ID else f"'{at:%Y-%m-%d %H:%M:%S+00}'"
