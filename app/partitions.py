"""
Tables that are dropped by age: made ahead, dropped behind.

A partition covers a whole number of days from the epoch on. Tables keyed by a time id (see the first
migration) have bounds in milliseconds shifted left by 21 bits; the others have timestamps.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from sqlalchemy import Connection, text

from app import time_ids

AHEAD = timedelta(days=2)
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
    Partitioned(table="follow_ups", retention=A_MONTH, bound=Bound.TIME_ID),
    Partitioned(
        table="delivery_reports", retention=A_MONTH, days=10, bound=Bound.TIME_ID, options=UPDATED_IN_PLACE
    ),
    Partitioned(table="capacity_holds", retention=A_MONTH, bound=Bound.TIME_ID, options=UPDATED_IN_PLACE),
    Partitioned(table="outbox_log", retention=timedelta(days=7)),
    Partitioned(table="deliveries", retention=timedelta(days=7)),
    Partitioned(table="dead_letters", retention=A_MONTH, days=10),
)


def retention(table: str) -> timedelta:
    """How long the table's rows are kept."""
    return next(each.retention for each in TABLES if each.table == table)


def maintain(connection: Connection, *, now: datetime) -> list[str]:
    """
    Make the partitions of the coming days and drop those past their retention.

    :return: what was done, one line each
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    connection.execute(text("SET LOCAL lock_timeout = '4s'"))
    done: list[str] = []
    for table in TABLES:
        existing = _existing(connection, table.table)
        done += _make(connection, table, existing, now)
        done += _drop(connection, table, existing, now)
    return done


def _make(connection: Connection, table: Partitioned, existing: set[str], now: datetime) -> list[str]:
    made = []
    # yesterday's too: a legacy row, or a clock just behind midnight, still finds its place
    start = _period_start(table, now - timedelta(days=1))
    while start <= now + AHEAD:
        name, end = _name(table, start), start + timedelta(days=table.days)
        if name not in existing:
            connection.execute(
                text(
                    f"CREATE TABLE {name} PARTITION OF {table.table} "
                    f"FOR VALUES FROM ({_literal(table, start)}) TO ({_literal(table, end)}) {table.options}"
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
        connection.execute(text(f"DROP TABLE {name}"))
    return [f"dropped {name}" for name in stale]


def _has_live_runs(connection: Connection, day: str) -> bool:
    """Whether a run of that day still waits, travels or is parked: then nothing of that day is dropped."""
    runs = f"runs_{day}"
    if connection.execute(text("SELECT to_regclass(:runs)"), {"runs": runs}).scalar_one() is None:
        return False
    return bool(
        connection.execute(text(f"SELECT EXISTS (SELECT FROM {runs} WHERE state <> 'e')")).scalar_one()
    )


def _existing(connection: Connection, table: str) -> set[str]:
    sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:table AS regclass)"
    return set(connection.execute(text(sql), {"table": table}).scalars())


def _period_start(table: Partitioned, at: datetime) -> datetime:
    day = int(at.timestamp() // 86_400)
    return datetime.fromtimestamp((day - day % table.days) * 86_400, UTC)


def _name(table: Partitioned, start: datetime) -> str:
    return f"{table.table}_{start:%Y%m%d}"


def _literal(table: Partitioned, at: datetime) -> str:
    return str(time_ids.floor(at)) if table.bound is Bound.TIME_ID else f"'{at:%Y-%m-%d %H:%M:%S+00}'"
