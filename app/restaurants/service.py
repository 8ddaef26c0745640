"""Making restaurants known."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from app.capacity import model
from app.database import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RestaurantEntry:
    """
    :param at: latitude and longitude in degrees
    :param slot_capacity: orders per quarter of an hour, None for the default
    :param prep_minutes: usual time from order to ready, None if not known
    :param zone: name of the part of the city, None for the square of a grid in which it lies
    """

    id: str
    at: tuple[float, float]
    slot_capacity: int | None = None
    prep_minutes: float | None = None
    zone: str | None = None


def register(connection: Connection, tenant_id: str, entries: Sequence[RestaurantEntry]) -> None:
    """Add the restaurants, or bring them to what is said now; twice is once."""
    connection.execute(
        text("""
            INSERT INTO restaurants (tenant_id, id, lat, lng, slot_capacity, prep_minutes, zone)
            SELECT :tenant, id, lat, lng, slot_capacity, prep_minutes, zone
            FROM json_to_recordset(CAST(:rows AS json)) AS r(id text, lat double precision, lng double precision,
                slot_capacity integer, prep_minutes double precision, zone text)
            ORDER BY id
            ON CONFLICT (tenant_id, id) DO UPDATE SET lat = excluded.lat, lng = excluded.lng,
                slot_capacity = excluded.slot_capacity, prep_minutes = excluded.prep_minutes,
                zone = excluded.zone
        """),
        {
            "tenant": tenant_id,
            "rows": rows(
                [
                    {
                        "id": entry.id,
                        "lat": entry.at[0],
                        "lng": entry.at[1],
                        "slot_capacity": entry.slot_capacity,
                        "prep_minutes": entry.prep_minutes,
                        "zone": entry.zone or model.zone_of(*entry.at),
                    }
                    for entry in entries
                ]
            ),
        },
    )
