"""The pool between dispatch and commitment: who waits in it, who can fetch it, and whom it moves to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from app.database import one_value, rows
from app.optimization.model import Point

WAITING = "('CONFIRMED', 'PREPARING', 'READY_FOR_PICKUP')"
# Whoever waits is moved on every minute; what has not been for so long is over, or from before there was a pool.
FORGOTTEN_AFTER = "interval '30 minutes'"
USUAL_PREP_MINUTES = 15.0
REFUSED_S = 600.0  # until the door, of what has no courier


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """
    An order of the pool whose courier may still change.

    :param ready: when its meal is ready, or should be
    :param eta: what was promised, if anything was
    :param needs: what its courier must have
    :param refused_by: couriers who have refused it
    """

    key: str
    order_id: str
    courier: str | None
    kitchen: str
    pickup: Point
    door: Point
    placed: datetime
    ready: datetime
    eta: datetime | None
    needs: frozenset[str] = frozenset()
    refused_by: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rider:
    """
    A courier on duty, or soon.

    :param at: where he is when he is free: his last door, else where he begins
    :param free_at: None if he is free
    """

    id: str
    at: Point
    free_at: datetime | None
    on_from: datetime | None
    on_until: datetime | None
    max_orders: int
    has: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """
    What has become of one order of the pool.

    :param previous: the courier that it had when this was decided
    :param door_s: seconds from now until the courier is at the door; until it is looked at again if nobody goes
    :param final: whether the courier leaves now, so that it changes no more
    """

    key: str
    order_id: str
    previous: str | None
    courier: str | None
    door_s: float
    final: bool


def waiting(connection: Connection, *, most: int) -> Mapping[str, Sequence[Waiting]]:
    """By tenant, the orders that wait in the pool, at most so many: the oldest."""
    result = connection.execute(
        text(f"""
            SELECT p.key, p.order_id, p.tenant_id, p.courier_id, o.restaurant_id, r.lat, r.lng, o.created_at, o.eta,
                o.delivery_location->'needs' AS needs, p.refused_by,
                (o.delivery_location->>'lat')::float8 AS to_lat, (o.delivery_location->>'lng')::float8 AS to_lng,
                CASE o.status WHEN 'READY_FOR_PICKUP' THEN least(now(), o.updated_at)
                    ELSE p.at + coalesce(r.prep_minutes, :usual) * interval '1 minute' END AS ready
            FROM fleet_pool p JOIN uoop_orders o ON o.id = p.order_id
            JOIN restaurants r ON r.tenant_id = o.tenant_id AND r.id = o.restaurant_id
            WHERE p.state = 'pooled' AND p.committed_at IS NULL AND p.busy_until > now() - {FORGOTTEN_AFTER}
                AND o.status IN {WAITING} AND o.rerouting IS NULL
            ORDER BY p.at, p.key LIMIT :most
        """),
        {"usual": USUAL_PREP_MINUTES, "most": most},
    )
    found: dict[str, list[Waiting]] = {}
    for row in result:
        found.setdefault(row.tenant_id, []).append(
            Waiting(
                key=row.key,
                order_id=row.order_id,
                courier=row.courier_id,
                kitchen=row.restaurant_id,
                pickup=Point(row.lat, row.lng),
                door=Point(row.to_lat, row.to_lng),
                placed=row.created_at,
                ready=row.ready,
                eta=row.eta,
                needs=frozenset(row.needs or ()),
                refused_by=frozenset(row.refused_by or ()),
            )
        )
    return found


def riders(connection: Connection, tenants: Sequence[str], *, soon_s: float) -> Mapping[str, Sequence[Rider]]:
    """By tenant, who is on duty within so many seconds, and is free by then."""
    result = connection.execute(
        text(f"""
            WITH busy AS (
                SELECT DISTINCT ON (p.tenant_id, p.courier_id) p.tenant_id, p.courier_id, p.busy_until,
                    (o.delivery_location->>'lat')::float8 AS lat, (o.delivery_location->>'lng')::float8 AS lng
                FROM fleet_pool p JOIN uoop_orders o ON o.id = p.order_id
                WHERE p.state = 'pooled' AND p.committed_at IS NOT NULL AND p.tenant_id = ANY(:tenants)
                    AND p.busy_until > now() - {FORGOTTEN_AFTER}
                ORDER BY p.tenant_id, p.courier_id, p.busy_until DESC
            )
            SELECT c.id, c.tenant_id, coalesce(b.lat, c.lat) AS lat, coalesce(b.lng, c.lng) AS lng, b.busy_until,
                c.on_from, c.on_until, c.max_orders, c.has
            FROM couriers c LEFT JOIN busy b ON b.tenant_id = c.tenant_id AND b.courier_id = c.id
            WHERE c.tenant_id = ANY(:tenants)
                AND greatest(c.on_from, b.busy_until, now()) <= now() + make_interval(secs => :soon_s)
                AND coalesce(c.on_until, 'infinity') > now()
            ORDER BY c.tenant_id, c.id
        """),
        {"tenants": list(tenants), "soon_s": soon_s},
    )
    found: dict[str, list[Rider]] = {}
    for row in result:
        found.setdefault(row.tenant_id, []).append(
            Rider(
                id=row.id,
                at=Point(row.lat, row.lng),
                free_at=row.busy_until,
                on_from=row.on_from,
                on_until=row.on_until,
                max_orders=row.max_orders,
                has=frozenset(row.has or ()),
            )
        )
    return found


def move(connection: Connection, moves: Sequence[Move]) -> int:
    """
    Write what was decided, with an event for each order whose courier is another or final.

    An order that was recalled or cancelled meanwhile, or has another courier by now, stays as it is.

    :return: how many events that gave
    """
    connection.execute(
        text(f"SELECT FROM uoop_orders WHERE id = ANY(:ids) AND status IN {WAITING} ORDER BY id FOR UPDATE"),
        {"ids": [each.order_id for each in moves]},
    )
    return connection.execute(
        text(f"""
            WITH decided AS (
                SELECT * FROM json_to_recordset(CAST(:rows AS json))
                AS d(key text, order_id text, previous text, courier text, door_s double precision, final boolean)
            ), moved AS (
                UPDATE fleet_pool p SET courier_id = d.courier,
                    busy_until = now() + make_interval(secs => d.door_s),
                    committed_at = CASE WHEN d.final THEN now() END
                FROM decided d JOIN uoop_orders o ON o.id = d.order_id AND o.status IN {WAITING}
                WHERE p.key = d.key AND p.state = 'pooled' AND p.committed_at IS NULL
                    AND p.courier_id IS NOT DISTINCT FROM d.previous
                RETURNING p.order_id, p.busy_until, d.previous, d.courier, d.final
            ), changed AS (
                UPDATE uoop_orders o SET version = o.version + 1, updated_at = clock_timestamp()
                FROM moved m WHERE o.id = m.order_id AND (m.final OR m.courier IS DISTINCT FROM m.previous)
                RETURNING o.id, o.tenant_id, o.version, o.status, m.previous, m.courier, m.final, m.busy_until,
                    o.trace
            )
            INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, trace)
            SELECT tenant_id, id, version, 'assignment.changed', json_build_object('status', status,
                'courier', courier, 'previous', previous, 'final', final, 'expected_at', busy_until), trace
            FROM changed
        """),
        {"rows": rows(moves)},
    ).rowcount


def refuse(connection: Connection, order_id: str, courier: str) -> bool:
    """
    The order's courier will not bring it: somebody else of the pool shall, with an event that it has nobody now.

    Final or not, it waits again. The caller has locked the order, which is not picked up.

    :return: whether the order was in the pool with this courier
    """
    key = one_value(
        connection,
        """
        UPDATE fleet_pool SET refused_by = coalesce(refused_by, '{}') || courier_id, committed_at = NULL
        WHERE order_id = :order AND courier_id = :courier AND state = 'pooled' RETURNING key
        """,
        {"order": order_id, "courier": courier},
    )
    if key is None:
        return False
    nobody = Move(key=key, order_id=order_id, previous=courier, courier=None, door_s=REFUSED_S, final=False)
    move(connection, [nobody])
    return True


def given_up(connection: Connection, keys: Sequence[str], *, soon_s: float) -> list[str]:
    """
    Those of these orders that nobody on duty within so many seconds may have, fit and not having refused.

    They are locked until the commit.

    :return: order ids
    """
    result = connection.execute(
        text(f"""
            SELECT o.id FROM fleet_pool p JOIN uoop_orders o ON o.id = p.order_id
            WHERE p.key = ANY(:keys) AND p.state = 'pooled' AND p.committed_at IS NULL
                AND o.status IN {WAITING} AND o.rerouting IS NULL
                AND NOT EXISTS (SELECT FROM couriers c WHERE c.tenant_id = p.tenant_id
                    AND coalesce(c.on_from, '-infinity') <= now() + make_interval(secs => :soon_s)
                    AND coalesce(c.on_until, 'infinity') > now()
                    AND coalesce(o.delivery_location->'needs', '[]') <@ to_jsonb(coalesce(c.has, '{{}}'))
                    AND c.id <> ALL(coalesce(p.refused_by, '{{}}')))
            ORDER BY o.id FOR NO KEY UPDATE OF o
        """),
        {"keys": list(keys), "soon_s": soon_s},
    )
    return list(result.scalars())
