"""
Checks: one provider's one resource over one span of time, a row each that tells how far it has come.

    list --> compare --> review --> clear --> done

list     the provider's list, part by part: each item is compared with our books, what stands is noted
compare  our books, page by page: what stands by them and was not listed, is asked for by its key
review   the open differences of this place, whatever their day: those that have gone are closed
clear    what was noted is dropped

Each part is written together with the place where the next begins, so whoever takes a check up goes on there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, text

from app.database import rows

LINES_PER_CLEARING = 20_000
KEPT = timedelta(days=90)
MADE_UP_FOR = timedelta(days=7)


class Phase(StrEnum):
    LIST = "list"
    COMPARE = "compare"
    REVIEW = "review"
    CLEAR = "clear"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """
    :param listed: whether the provider has a list; without one, only what we know of was looked for
    :param theirs, ours: how many listed items, and keys of ours, were compared so far
    :param trouble: why it does not go on just now
    """

    id: int
    provider: str
    resource: str
    since: datetime
    until: datetime
    margin_s: float
    phase: Phase
    cursor: str | None
    position: int
    listed: bool
    theirs: int
    ours: int
    trouble: str | None


_COLUMNS = ", ".join(Check.__slots__)


def plan(
    connection: Connection,
    places: Iterable[tuple[str, str]],
    *,
    since: datetime,
    until: datetime,
    margin_s: float,
    daily: bool = False,
) -> list[int]:
    """
    Have a span checked at these (provider, resource); their ids.

    A daily check that is there already stays as it is, any other begins anew.
    """
    again = (
        "daily = true"
        if daily
        else "phase = 'list', cursor = NULL, position = 0, listed = true, theirs = 0, ours = 0, "
        "margin_s = excluded.margin_s, trouble = NULL, due_at = now(), finished_at = NULL"
    )
    result = connection.execute(
        text(
            "INSERT INTO settlement_checks (provider, resource, since, until, daily, margin_s) "
            "SELECT provider, resource, :since, :until, :daily, :margin "
            "FROM json_to_recordset(CAST(:places AS json)) AS p(provider text, resource text) "
            f"ORDER BY 1, 2 ON CONFLICT (since, until, provider, resource) DO UPDATE SET {again} RETURNING id"
        ),
        {
            "since": since,
            "until": until,
            "daily": daily,
            "margin": margin_s,
            "places": rows([{"provider": p, "resource": r} for p, r in places]),
        },
    )
    return list(result.scalars())


def days_to_plan(connection: Connection, *, yesterday: datetime) -> list[datetime]:
    """The days up to yesterday that were never planned: yesterday alone on the first day, a week at most later."""
    last = connection.execute(
        text("SELECT max(since) FROM settlement_checks WHERE daily AND since <= :yesterday"),
        {"yesterday": yesterday},
    ).scalar_one()
    missed = MADE_UP_FOR if last is None else min(yesterday - last, MADE_UP_FOR)
    days = 1 if last is None else missed.days
    return [yesterday - timedelta(days=n) for n in reversed(range(days))]


def due(connection: Connection) -> Check | None:
    """The unfinished check that has waited longest, of those that may go on now."""
    row = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM settlement_checks WHERE finished_at IS NULL AND due_at <= clock_timestamp() "
            "ORDER BY id LIMIT 1"
        )
    ).one_or_none()
    return None if row is None else _check(row)


def named(connection: Connection, ids: Sequence[int]) -> list[Check]:
    """These checks, as they stand."""
    result = connection.execute(
        text(f"SELECT {_COLUMNS} FROM settlement_checks WHERE id = ANY(:ids) ORDER BY id"), {"ids": list(ids)}
    )
    return [_check(row) for row in result]


def keep(connection: Connection, check: Check) -> None:
    """Write how far the check has come."""
    connection.execute(
        text("""
            UPDATE settlement_checks SET phase = :phase, cursor = :cursor, position = :position, listed = :listed,
                theirs = :theirs, ours = :ours, trouble = NULL, due_at = now(),
                finished_at = CASE :phase WHEN 'done' THEN clock_timestamp() END
            WHERE id = :id
        """),
        {
            "id": check.id,
            "phase": check.phase,
            "cursor": check.cursor,
            "position": check.position,
            "listed": check.listed,
            "theirs": check.theirs,
            "ours": check.ours,
        },
    )


def put_off(connection: Connection, check: Check, *, trouble: str, for_s: float) -> None:
    """Go on later, from the same place."""
    connection.execute(
        text(
            "UPDATE settlement_checks SET trouble = :trouble, "
            "due_at = clock_timestamp() + make_interval(secs => :for_s) WHERE id = :id"
        ),
        {"id": check.id, "trouble": trouble, "for_s": for_s},
    )


def abandon(connection: Connection, check: Check, *, trouble: str) -> None:
    """End a check that cannot go on any more."""
    connection.execute(
        text(
            "UPDATE settlement_checks SET phase = 'done', trouble = :trouble, finished_at = clock_timestamp() "
            "WHERE id = :id"
        ),
        {"id": check.id, "trouble": trouble},
    )


def note_standing(connection: Connection, check: Check, keys: Sequence[str], *, gone: Sequence[str]) -> None:
    """Note what the list says stands, and what it says later does not."""
    connection.execute(
        text(
            "INSERT INTO settlement_lines (check_id, key) SELECT :id, key FROM unnest(CAST(:keys AS text[])) AS k(key) "
            "ON CONFLICT DO NOTHING"
        ),
        {"id": check.id, "keys": list(keys)},
    )
    connection.execute(
        text("DELETE FROM settlement_lines WHERE check_id = :id AND key = ANY(:gone)"),
        {"id": check.id, "gone": list(gone)},
    )


def clear(connection: Connection, check: Check) -> bool:
    """Drop some of what was noted; whether there may be more."""
    dropped = connection.execute(
        text(
            "DELETE FROM settlement_lines WHERE check_id = :id AND key IN "
            "(SELECT key FROM settlement_lines WHERE check_id = :id LIMIT :lines)"
        ),
        {"id": check.id, "lines": LINES_PER_CLEARING},
    ).rowcount
    return dropped == LINES_PER_CLEARING


def oldest_unfinished_s(connection: Connection) -> float:
    """Seconds since the oldest unfinished check was planned; 0 if there is none."""
    age = connection.execute(
        text(
            "SELECT extract(epoch FROM clock_timestamp() - min(created_at))::float FROM settlement_checks "
            "WHERE finished_at IS NULL"
        )
    ).scalar_one()
    return float(age or 0.0)


def forget(connection: Connection, *, now: datetime) -> None:
    """Drop the rows of checks long finished."""
    connection.execute(
        text("DELETE FROM settlement_checks WHERE finished_at < :before"), {"before": now - KEPT}
    )


def _check(row: Any) -> Check:
    values = {name: getattr(row, name) for name in Check.__slots__}
    return Check(**values | {"phase": Phase(row.phase)})
