"""Events that a sink has refused for good: kept with their reason, until a person has them delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from app.database import ids
from app.outbox.model import Event

_EVENT = "pos, id, tenant_id, order_id, sequence, type, data, at"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`reason`: what the sink said, or `overdue` if the log was about to drop it."""

    event: Event
    reason: str
    dead_at: datetime


def keep(connection: Connection, sink: str, event: Event, *, reason: str) -> None:
    """Take the event out of the sink's way, with its reason."""
    connection.execute(
        text(
            f"INSERT INTO dead_letters (sink, reason, {_EVENT}) SELECT :sink, :reason, {_EVENT} FROM outbox_log "
            "WHERE day >= current_date - 7 AND pos = :pos"
        ),
        {"sink": sink, "reason": reason, "pos": event.pos},
    )


def keep_overdue(connection: Connection, sinks: Sequence[str], *, before: date) -> int:
    """
    Take over what a sink has not had yet of the days that are about to be dropped.

    :param sinks: those that are in use
    :param before: the first day that stays
    :return: how many
    """
    connection.execute(text("SELECT FROM sinks ORDER BY name FOR UPDATE"))
    kept = connection.execute(
        text(f"""
            WITH overdue AS (
                SELECT s.name, l.* FROM sinks s JOIN outbox_log l ON l.pos > s.pos AND l.day >= s.day
                WHERE l.day < :before AND s.name = ANY(:sinks)
            ), moved AS (
                UPDATE sinks SET pos = o.pos, tries = 0
                FROM (SELECT name, max(pos) AS pos FROM overdue GROUP BY name) o WHERE o.name = sinks.name
            )
            INSERT INTO dead_letters (sink, reason, {_EVENT}) SELECT name, 'overdue', {_EVENT} FROM overdue
        """),
        {"before": before, "sinks": list(sinks)},
    )
    return int(kept.rowcount)


def open_ones(
    connection: Connection, sink: str, *, limit: int, positions: Sequence[int] | None = None
) -> list[DeadLetter]:
    """The sink's dead letters in their order, oldest first; only those at `positions`, if given."""
    chosen = "" if positions is None else "AND pos = ANY(CAST(:positions AS bigint[])) "
    result = connection.execute(
        text(
            f"SELECT {_EVENT}, reason, dead_at FROM dead_letters WHERE sink = :sink AND delivered_at IS NULL "
            f"{chosen}ORDER BY pos LIMIT :limit"
        ),
        {"sink": sink, "limit": limit, **({} if positions is None else {"positions": ids(positions)})},
    )
    return [DeadLetter(Event(*row[:-2]), row.reason, row.dead_at) for row in result]


def counts(connection: Connection) -> Mapping[str, int]:
    """How many are open, by sink."""
    result = connection.execute(
        text("SELECT sink, count(*) FROM dead_letters WHERE delivered_at IS NULL GROUP BY sink")
    )
    return {row[0]: row[1] for row in result}


def delivered(connection: Connection, sink: str, events: Sequence[Event]) -> None:
    """They have been taken after all."""
    connection.execute(
        text(
            "UPDATE dead_letters SET delivered_at = clock_timestamp() WHERE sink = :sink "
            "AND pos = ANY(CAST(:positions AS bigint[])) AND delivered_at IS NULL"
        ),
        {"sink": sink, "positions": ids(event.pos for event in events)},
    )


def as_dict(letter: DeadLetter) -> dict[str, Any]:
    return msgspec.structs.asdict(letter.event) | {"reason": letter.reason, "dead_at": letter.dead_at}
