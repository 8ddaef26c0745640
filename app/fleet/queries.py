"""Who our couriers are, and which of them have room."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from app.fleet.service import CourierEntry
from app.optimization.model import Courier, Point


def with_room(connection: Connection, tenants: Sequence[str]) -> list[Courier]:
    """Couriers on duty now who can take at least one more order."""
    # summed up instead of joined: of a pool that has just filled the planner knows nothing, and would join in a loop
    result = connection.execute(
        text("""
            SELECT id, tenant_id, max(lat) AS lat, max(lng) AS lng, sum(room) AS free, max(has) AS has FROM (
                SELECT id, tenant_id, lat, lng, max_orders AS room, has FROM couriers
                WHERE tenant_id = ANY(:tenants) AND coalesce(on_from, '-infinity') <= now()
                    AND coalesce(on_until, 'infinity') > now()
                UNION ALL
                SELECT courier_id, tenant_id, NULL, NULL, -1, NULL FROM fleet_pool
                WHERE tenant_id = ANY(:tenants) AND state = 'pooled' AND busy_until > now()
            ) rooms GROUP BY tenant_id, id HAVING sum(room) > 0
        """),
        {"tenants": list(tenants)},
    )
    return [
        Courier(
            id=row.id,
            tenant_id=row.tenant_id,
            at=Point(row.lat, row.lng),
            free=row.free,
            has=frozenset(row.has or ()),
        )
        for row in result
    ]


def known(connection: Connection, tenant_id: str) -> list[CourierEntry]:
    """The tenant's couriers by name, on duty or not."""
    result = connection.execute(
        text(
            "SELECT id, lat, lng, on_from, on_until, max_orders, has FROM couriers "
            "WHERE tenant_id = :tenant ORDER BY id"
        ),
        {"tenant": tenant_id},
    )
    return [
        CourierEntry(
            id=row.id,
            at=(row.lat, row.lng),
            on_from=row.on_from,
            on_until=row.on_until,
            max_orders=row.max_orders,
            has=tuple(row.has or ()),
        )
        for row in result
    ]
