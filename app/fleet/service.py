"""Making our own couriers known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from app.database import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierEntry:
    """
    :param at: latitude and longitude in degrees
    :param on_from: start of duty, None if always on
    :param on_until: end of duty, None if always on
    :param has: a vehicle, skills: what an order's `needs` may ask for
    """

    id: str
    at: tuple[float, float]
    on_from: datetime | None = None
    on_until: datetime | None = None
    max_orders: int = 3
    has: tuple[str, ...] = ()


def register(connection: Connection, tenant_id: str, entries: Sequence[CourierEntry]) -> None:
    """Add the couriers, or bring them to what is said now; twice is once."""
    connection.execute(
        text("""
            INSERT INTO couriers (tenant_id, id, lat, lng, on_from, on_until, max_orders, has)
            SELECT :tenant, id, lat, lng, on_from, on_until, max_orders, has
            FROM json_to_recordset(CAST(:rows AS json)) AS c(id text, lat double precision, lng double precision,
                on_from timestamptz, on_until timestamptz, max_orders smallint, has text[])
            ORDER BY id
            ON CONFLICT (tenant_id, id) DO UPDATE SET lat = excluded.lat, lng = excluded.lng,
                on_from = excluded.on_from, on_until = excluded.on_until, max_orders = excluded.max_orders,
                has = excluded.has
        """),
        {
            "tenant": tenant_id,
            "rows": rows(
                [
                    {
                        "id": entry.id,
                        "lat": entry.at[0],
                        "lng": entry.at[1],
                        "on_from": entry.on_from,
                        "on_until": entry.on_until,
                        "max_orders": entry.max_orders,
                        "has": entry.has or None,
                    }
                    for entry in entries
                ]
            ),
        },
    )


def forget(connection: Connection, *, before: datetime) -> int:
    """
    Drop the pool's rows from before then, but those of orders whose run is not over.

    :return: how many were dropped: at most ten thousand, the next time more
    """
    return connection.execute(
        text("""
            DELETE FROM fleet_pool WHERE key IN (
                SELECT p.key FROM fleet_pool p WHERE p.at < :before
                AND NOT EXISTS (SELECT FROM uoop_orders o JOIN runs r ON r.id = o.run_id
                    WHERE o.id = p.order_id AND r.state <> 'e')
                AND NOT EXISTS (SELECT FROM follow_ups f JOIN runs r ON r.id = f.run_id
                    WHERE f.order_id = p.order_id AND r.state <> 'e')
                LIMIT 10000)
        """),
        {"before": before},
    ).rowcount
