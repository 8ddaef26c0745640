"""Which of our couriers have room."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from app.optimization.model import Courier, Point


def with_room(connection: Connection, tenants: Sequence[str]) -> list[Courier]:
    """Couriers on duty now who can take at least one more order."""
    result = connection.execute(
        text("""
            SELECT c.id, c.tenant_id, c.lat, c.lng, c.max_orders - count(p.key) AS free
            FROM couriers c LEFT JOIN fleet_pool p ON p.courier_id = c.id AND p.tenant_id = c.tenant_id
                AND p.state = 'pooled' AND p.busy_until > now()
            WHERE c.tenant_id = ANY(:tenants) AND coalesce(c.on_from, '-infinity') <= now()
                AND coalesce(c.on_until, 'infinity') > now()
            GROUP BY c.tenant_id, c.id HAVING c.max_orders > count(p.key)
        """),
        {"tenants": list(tenants)},
    )
    return [
        Courier(id=row.id, tenant_id=row.tenant_id, at=Point(row.lat, row.lng), free=row.free)
        for row in result
    ]
