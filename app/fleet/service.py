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
    """

    id: str
    at: tuple[float, float]
    on_from: datetime | None = None
    on_until: datetime | None = None
    max_orders: int = 3


def register(connection: Connection, tenant_id: str, entries: Sequence[CourierEntry]) -> None:
    """Add the couriers, or bring them to what is said now; twice is once."""
    connection.execute(
        text("""
            INSERT INTO couriers (tenant_id, id, lat, lng, on_from, on_until, max_orders)
            SELECT :tenant, id, lat, lng, on_from, on_until, max_orders
            FROM json_to_recordset(CAST(:rows AS json)) AS c(id text, lat double precision, lng double precision,
                on_from timestamptz, on_until timestamptz, max_orders smallint)
            ORDER BY id
            ON CONFLICT (tenant_id, id) DO UPDATE SET lat = excluded.lat, lng = excluded.lng,
                on_from = excluded.on_from, on_until = excluded.on_until, max_orders = excluded.max_orders
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
                    }
                    for entry in entries
                ]
            ),
        },
    )
