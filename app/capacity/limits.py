"""Limits that operators set: of a kitchen, a zone, a channel or a partner, for all windows or for some, at any time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from app import errors
from app.capacity.model import NO_LIMIT, WINDOW_S, Slot, SlotKind, window_start, windows
from app.database import rows
from app.orders.document import Moment

SET_AT_MOST = timedelta(days=14)
ACTS_TOLD = 20
_FOR_ALL = "-infinity"
_SAID = (
    "l.tenant_id, l.kind, l.name, l.capacity, "
    "CASE WHEN isfinite(l.window_from) THEN extract(epoch FROM l.window_from)::bigint END"
)
# :default is what a kitchen takes of which nothing is said; s has tenant_id, kind, name and window_from.
OF_SLOT = """
    coalesce((SELECT l.capacity FROM capacity_limits l
        WHERE (l.tenant_id, l.kind, l.name) = (s.tenant_id, s.kind, s.name) AND l.capacity IS NOT NULL
        AND l.window_from IN (s.window_from, '-infinity') ORDER BY l.window_from DESC LIMIT 1),
    (SELECT r.slot_capacity FROM restaurants r
        WHERE s.kind = 'kitchen' AND (r.tenant_id, r.id) = (s.tenant_id, s.name)),
    CASE WHEN s.kind = 'kitchen' THEN CAST(:default AS integer) END)
"""

Name = tuple[str, SlotKind, str]  # tenant, kind, name


class OddWindows(errors.Rejected):
    """A limit cannot be set for this time."""

    code = "odd-windows"


class NotLimited(errors.NotFound):
    """There is no such limit."""

    code = "not-limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What one of them takes per window. `window_from` is null where it holds for all windows."""

    kind: SlotKind
    name: str
    window_from: Moment | None
    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAct:
    """One line of the log of acts. `capacity` is null where a limit was taken away."""

    at: Moment
    kind: SlotKind
    name: str
    since: Moment | None
    until: Moment | None
    capacity: int | None
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    A limit to be set or taken away.

    :param capacity: orders per window; None takes the limit away
    :param since: with `until`, for the windows of that time only
    """

    kind: SlotKind
    name: str
    capacity: int | None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What operators have said, by name and window; None as a window is all of them."""

    said: Mapping[Name, Mapping[int | None, int | None]] = field(default_factory=dict)

    def holds_places(self, tenant_id: str, kind: SlotKind, name: str) -> bool:
        """Whether orders hold a place there: a limit was ever set."""
        return (tenant_id, kind, name) in self.said

    def of(self, slot: Slot, *, otherwise: int = NO_LIMIT) -> int:
        """The slot's limit."""
        said = self.said.get((slot.tenant_id, slot.kind, slot.name), {})
        found = said.get(slot.window)
        if found is None:
            found = said.get(None)
        return otherwise if found is None else found


def known(connection: Connection, names: Iterable[Name]) -> Limits:
    """All that is said of these."""
    wanted = [{"tenant": tenant, "kind": kind, "name": name} for tenant, kind, name in sorted(set(names))]
    result = connection.execute(
        text(
            f"SELECT {_SAID} FROM capacity_limits l JOIN json_to_recordset(CAST(:rows AS json)) "
            "AS w(tenant text, kind text, name text) ON (l.tenant_id, l.kind, l.name) = (w.tenant, w.kind, w.name)"
        ),
        {"rows": rows(wanted)},
    )
    return _limits(result)


def of_partners(connection: Connection) -> Limits:
    """All that is said of delivery partners, by any tenant."""
    return _limits(
        connection.execute(
            text(f"SELECT {_SAID} FROM capacity_limits l WHERE kind = :kind"), {"kind": SlotKind.PARTNER}
        )
    )


def of_slots(connection: Connection, slots: Iterable[Slot], *, default: int) -> dict[str, int | None]:
    """
    The limit of each slot by its name, None for all but kitchens without one.

    :param default: what a kitchen takes of which nothing is said
    """
    values = [
        {"slot": str(s), "tenant_id": s.tenant_id, "kind": s.kind, "name": s.name, "seconds": s.window}
        for s in slots
    ]
    result = connection.execute(
        text(f"""
            WITH s AS MATERIALIZED (
                SELECT slot, tenant_id, kind, name, to_timestamp(seconds) AS window_from
                FROM json_to_recordset(CAST(:rows AS json))
                AS w(slot text, tenant_id text, kind text, name text, seconds bigint)
            ) SELECT slot, {OF_SLOT} AS capacity FROM s
        """),
        {"rows": rows(values), "default": default},
    )
    return {row.slot: row.capacity for row in result}


def active(connection: Connection, tenant_id: str, *, now: datetime) -> list[Limit]:
    """What the tenant's operators have set, without what is past."""
    result = connection.execute(
        text(
            "SELECT kind, name, capacity, CASE WHEN isfinite(window_from) THEN window_from END AS window_from "
            "FROM capacity_limits WHERE tenant_id = :tenant AND capacity IS NOT NULL "
            "AND (NOT isfinite(window_from) OR window_from >= :begin) ORDER BY kind, name, capacity_limits.window_from"
        ),
        {"tenant": tenant_id, "begin": window_start(now)},
    )
    return [Limit(**{**row._mapping, "kind": SlotKind(row.kind)}) for row in result]


def put(
    connection: Connection, tenant_id: str, wanted: Wanted, *, default: int, who: str, why: str, now: datetime
) -> None:
    """
    Set a limit, or take it away. What is held already stays; from now on nothing is held above it.

    :param default: what a kitchen takes of which nothing is said
    :raises OddWindows: if the time is past, empty, or longer than two weeks
    :raises NotLimited: if there is nothing to be taken away
    """
    begins = _begins(wanted, now)
    changed = connection.execute(
        text(f"""
            WITH s AS (
                SELECT :tenant AS tenant_id, :kind AS kind, :name AS name, CAST(w AS timestamptz) AS window_from
                FROM unnest(CAST(:begins AS text[])) w
            ), before AS (SELECT s.window_from, {OF_SLOT} AS capacity FROM s)
            INSERT INTO capacity_limits AS l (tenant_id, kind, name, window_from, capacity, highest)
            SELECT :tenant, :kind, :name, window_from, :capacity, greatest(capacity, :capacity, :highest)
            FROM before WHERE CAST(:capacity AS integer) IS NOT NULL OR EXISTS (SELECT FROM capacity_limits o
                WHERE (o.tenant_id, o.kind, o.name, o.window_from) = (:tenant, :kind, :name, before.window_from)
                AND o.capacity IS NOT NULL)
            ON CONFLICT (tenant_id, kind, name, window_from) DO UPDATE SET capacity = excluded.capacity,
                highest = greatest(l.highest, excluded.highest)
        """),
        {
            "tenant": tenant_id,
            "kind": wanted.kind,
            "name": wanted.name,
            "begins": begins,
            "capacity": wanted.capacity,
            "default": default,
            "highest": 0 if wanted.capacity is not None or wanted.kind is SlotKind.KITCHEN else NO_LIMIT,
        },
    )
    if not changed.rowcount:
        raise NotLimited(detail=f"No limit is set for {wanted.kind} {wanted.name} then.")
    _log(connection, tenant_id, wanted, who=who, why=why)


def past_acts(connection: Connection, tenant_id: str) -> list[LimitAct]:
    """The tenant's latest changes, newest first."""
    result = connection.execute(
        text(
            "SELECT at, after, who, why FROM ops_acts WHERE tenant_id = :tenant AND act IN ('limit', 'unlimit') "
            "ORDER BY id DESC LIMIT :most"
        ),
        {"tenant": tenant_id, "most": ACTS_TOLD},
    )
    return [
        LimitAct(
            at=row.at,
            who=row.who,
            why=row.why,
            kind=SlotKind(row.after["kind"]),
            name=row.after["name"],
            capacity=row.after["capacity"],
            since=row.after["since"] and datetime.fromisoformat(row.after["since"]),
            until=row.after["until"] and datetime.fromisoformat(row.after["until"]),
        )
        for row in result
    ]


def _limits(result: Iterable[Any]) -> Limits:
    said: dict[Name, dict[int | None, int | None]] = {}
    for tenant, kind, name, capacity, window in result:
        said.setdefault((tenant, SlotKind(kind), name), {})[window] = capacity
    return Limits(said)


def _begins(wanted: Wanted, now: datetime) -> list[str]:
    if wanted.since is None and wanted.until is None:
        return [_FOR_ALL]
    since = max(wanted.since or now, window_start(now))
    until = wanted.until or since + timedelta(seconds=WINDOW_S)
    if not since < until <= since + SET_AT_MOST:
        raise OddWindows(detail="The time must not be past or empty, nor longer than two weeks.")
    return [datetime.fromtimestamp(begin, UTC).isoformat() for begin in windows(since, until)]


def _log(connection: Connection, tenant_id: str, wanted: Wanted, *, who: str, why: str) -> None:
    connection.execute(
        text(
            "INSERT INTO ops_acts (tenant_id, act, who, why, before, after) "
            "VALUES (:tenant, :act, :who, :why, 'null', CAST(:after AS jsonb))"
        ),
        {
            "tenant": tenant_id,
            "act": "unlimit" if wanted.capacity is None else "limit",
            "who": who,
            "why": why,
            "after": rows(wanted),
        },
    )
