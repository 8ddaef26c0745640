"""What slots have taken and refused, measured from the ledger every few seconds and kept for a week."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from app.capacity import limits, service
from app.capacity.ledger import Ledger
from app.capacity.model import WINDOW_S, Slot, SlotKind
from app.database import rows
from app.orders.document import Moment

RETENTION = timedelta(days=7)
SMOOTHING = 0.3  # weight of the latest measurement in the pace
ELSEWHERE = "elsewhere"  # the zone of restaurants that nobody told us of

# Holds of runs that have not passed their gate: they are under way in cohorts, wait, or are parked. Who waits at the
# front has none yet.
_NOT_COMMITTED = f"""
    SELECT place, count(*) AS held FROM (
        SELECT m.id FROM slots s JOIN cohorts c ON c.id = s.cohort_id CROSS JOIN unnest(c.members) m(id)
        UNION SELECT id FROM runs WHERE state = 'w' AND lane <> 'front'
        UNION SELECT id FROM runs WHERE state = 'p'
    ) under_way JOIN runs r ON r.id = under_way.id AND NOT r.gated
    JOIN capacity_holds h ON h.run_id = r.id AND h.released_at IS NULL AND h.expires_at > :now
    CROSS JOIN {service.PLACES} GROUP BY place
"""
_KEEP = f"""
    INSERT INTO capacity_usage AS u (slot, tenant_id, kind, name, window_from, capacity, taken, held, peak, at)
    SELECT slot, tenant_id, kind, name, to_timestamp(seconds), capacity, taken, held, taken, :now
    FROM json_to_recordset(CAST(:rows AS json)) AS r(slot text, tenant_id text, kind text, name text,
        seconds bigint, capacity integer, taken integer, held integer)
    ON CONFLICT (slot) DO UPDATE SET capacity = excluded.capacity, taken = excluded.taken, held = excluded.held,
        peak = greatest(u.peak, excluded.taken), at = excluded.at,
        per_s = CASE WHEN excluded.at > u.at THEN u.per_s * {1 - SMOOTHING} + {SMOOTHING} * greatest(0,
            excluded.taken - u.taken) / extract(epoch FROM excluded.at - u.at) ELSE u.per_s END
"""
# When a slot was full, or will be before its window ends.
_FULL_AT = f"""
    CASE WHEN taken >= capacity THEN at
        WHEN per_s > 0 AND (capacity - taken) / per_s < extract(epoch FROM window_from - at) + {WINDOW_S}
        THEN at + make_interval(secs => (capacity - taken) / per_s) END
"""
# Whoever writes several slots does so in the order of their names, as those who count refusals do.
_EMPTIED = """
    WITH emptied AS (
        SELECT slot FROM capacity_usage WHERE window_from > :running AND taken > 0
        AND slot <> ALL(CAST(:slots AS text[])) ORDER BY slot FOR UPDATE
    ) UPDATE capacity_usage u SET taken = 0, held = 0, at = :now FROM emptied e WHERE e.slot = u.slot
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotUsage:
    """
    One window of a kitchen, a zone, a channel or a partner.

    `taken` = `held` (on their way) + `committed` (past their gate); `refused` counts orders. `capacity` is null where
    there is no limit. `full_at`: when it was full, or will be before its window ends at the present pace; else null.
    """

    kind: SlotKind
    name: str
    window_from: Moment
    capacity: int | None
    taken: int
    held: int
    committed: int
    refused: int
    utilisation: float | None
    full_at: Moment | None
    measured_at: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneUsage:
    """All kitchens of a zone in one window. `capacity` is the zone's own limit, else what its kitchens take."""

    zone: str
    window_from: Moment
    capacity: int | None
    taken: int
    refused: int
    utilisation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressing:
    """How many slots are full, and in how many seconds the next one will be; None if none will."""

    full: int
    next_full_s: float | None


def measure(engine: Engine, ledger: Ledger, *, default: int, now: datetime) -> int:
    """
    Write down what every slot holds now; a window that is over stays as it was last seen.

    :param default: what a kitchen takes of which nothing is said
    :return: how many slots
    :raises LedgerAway: if Redis does not answer
    """
    with engine.connect() as connection:
        epoch = service.epoch(connection)
    counts = ledger.counts(epoch=epoch, now=now)
    running = now - timedelta(seconds=WINDOW_S)
    found = {name: slot for name in sorted(counts) if (slot := Slot.read(name))}
    slots = {name: slot for name, slot in found.items() if slot.window > running.timestamp()}
    with engine.begin() as connection:
        not_committed = {r.place: r.held for r in connection.execute(text(_NOT_COMMITTED), {"now": now})}
        capacity = limits.of_slots(connection, slots.values(), default=default)
        values = [
            {
                "slot": name,
                "tenant_id": slot.tenant_id,
                "kind": slot.kind,
                "name": slot.name,
                "seconds": slot.window,
                "capacity": capacity[name],
                "taken": counts[name],
                "held": min(counts[name], not_committed.get(name, 0)),
            }
            for name, slot in slots.items()
        ]
        connection.execute(text(_KEEP), {"rows": rows(values), "now": now})
    with engine.begin() as connection:
        connection.execute(text(_EMPTIED), {"now": now, "running": running, "slots": list(slots)})
    return len(slots)


def slots(
    connection: Connection,
    tenant_id: str,
    *,
    since: datetime,
    until: datetime,
    kind: SlotKind | None = None,
    name: str | None = None,
    most: int,
) -> list[SlotUsage]:
    """The tenant's slots whose windows begin in that time, the latest first, the fullest of each window first."""
    result = connection.execute(
        text(f"""
            SELECT kind, name, window_from, capacity, taken, held, taken - held AS committed, refused,
                CASE WHEN capacity > 0 THEN round(taken / capacity::numeric, 4)::float END AS utilisation,
                {_FULL_AT} AS full_at,
                at AS measured_at
            FROM capacity_usage WHERE tenant_id = :tenant AND window_from >= :since AND window_from < :until
            AND (CAST(:kind AS text) IS NULL OR kind = :kind) AND (CAST(:name AS text) IS NULL OR name = :name)
            ORDER BY window_from DESC, utilisation DESC NULLS LAST, taken DESC, slot LIMIT :most
        """),
        {"tenant": tenant_id, "since": since, "until": until, "kind": kind, "name": name, "most": most},
    )
    return [SlotUsage(**{**row._mapping, "kind": SlotKind(row.kind)}) for row in result]


def zones(
    connection: Connection, tenant_id: str | None, *, since: datetime, until: datetime
) -> list[ZoneUsage]:
    """
    The kitchens' slots by zone and window.

    :param tenant_id: whose; None for all tenants together
    """
    of_tenant = "" if tenant_id is None else "AND u.tenant_id = :tenant"
    result = connection.execute(
        text(f"""
            SELECT zone, window_from, sum(capacity)::bigint AS capacity, sum(taken)::bigint AS taken,
                sum(refused)::bigint AS refused,
                CASE WHEN sum(capacity) > 0 THEN round(sum(taken) / sum(capacity)::numeric, 4)::float END AS utilisation
            FROM (
                SELECT coalesce(r.zone, :elsewhere) AS zone, u.window_from, sum(u.taken) AS taken,
                    sum(u.refused) AS refused, coalesce(min(z.capacity), sum(u.capacity)) AS capacity
                FROM capacity_usage u LEFT JOIN restaurants r ON (r.tenant_id, r.id) = (u.tenant_id, u.name)
                LEFT JOIN capacity_usage z ON z.slot =
                    'zone:' || u.tenant_id || '/' || r.zone || '/' || extract(epoch FROM u.window_from)::bigint
                WHERE u.kind = 'kitchen' AND u.window_from >= :since AND u.window_from < :until {of_tenant}
                GROUP BY 1, 2, u.tenant_id
            ) by_tenant GROUP BY zone, window_from ORDER BY zone, window_from
        """),
        {"tenant": tenant_id, "since": since, "until": until, "elsewhere": ELSEWHERE},
    )
    return [ZoneUsage(**row._mapping) for row in result]


def pressing(connection: Connection, *, since: datetime) -> Pressing:
    """What is full, or next to be, of the windows that begin then or later; of all tenants."""
    row = connection.execute(
        text(f"""
            SELECT count(*) FILTER (WHERE taken >= capacity) AS full,
                extract(epoch FROM min({_FULL_AT}) FILTER (WHERE taken < capacity) - clock_timestamp())::float AS next_s
            FROM capacity_usage WHERE window_from >= :since
        """),
        {"since": since},
    ).one()
    return Pressing(full=row.full, next_full_s=None if row.next_s is None else max(0.0, row.next_s))


def forget(connection: Connection, *, now: datetime) -> None:
    """Drop what is older than a week."""
    connection.execute(
        text("DELETE FROM capacity_usage WHERE window_from < :before"), {"before": now - RETENTION}
    )
