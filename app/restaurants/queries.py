"""What is known of restaurants."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, text

from app.database import rows


@dataclass(frozen=True, slots=True)
class Restaurant:
    """
    :param slot_capacity: orders per window, None if nothing was said
    :param prep_minutes: usual time from order to ready, None if nothing was said
    :param zone: where it is, None if nothing was said
    """

    lat: float
    lng: float
    slot_capacity: int | None
    prep_minutes: float | None
    zone: str | None


def known(connection: Connection, asked: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Restaurant]:
    """Restaurants by (tenant id, restaurant id); unknown ones are missing."""
    wanted = [{"tenant": tenant, "id": restaurant} for tenant, restaurant in sorted(set(asked))]
    result = connection.execute(
        text(
            "SELECT r.tenant_id, r.id, r.lat, r.lng, r.slot_capacity, r.prep_minutes, r.zone FROM restaurants r "
            "JOIN json_to_recordset(CAST(:rows AS json)) AS w(tenant text, id text) "
            "ON (r.tenant_id, r.id) = (w.tenant, w.id)"
        ),
        {"rows": rows(wanted)},
    )
    return {(tenant, restaurant): Restaurant(*rest) for tenant, restaurant, *rest in result}
