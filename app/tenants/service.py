"""Tenants: for whom the platform works, each within borders that no request crosses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from app import errors

DEFAULT_TENANT = "default"


class TenantTaken(errors.Conflict):
    """There is such a tenant already."""

    code = "tenant-taken"


class NoTenant(errors.NotFound):
    """There is no such tenant."""

    code = "no-tenant"


@dataclass(frozen=True, slots=True)
class Tenant:
    """:param rate_per_s: requests a second that all its keys may make together; None: as the settings say"""

    id: str
    name: str
    rate_per_s: int | None
    keys: int
    created_at: datetime


def ensure_tenant(connection: Connection, tenant_id: str, *, name: str, order_deadline_s: int) -> None:
    connection.execute(
        text(
            "INSERT INTO tenants (id, name, order_deadline_s) VALUES (:id, :name, :deadline) "
            "ON CONFLICT (id) DO UPDATE SET order_deadline_s = excluded.order_deadline_s"
        ),
        {"id": tenant_id, "name": name, "deadline": order_deadline_s},
    )


def create_tenant(
    connection: Connection, tenant_id: str, *, name: str, order_deadline_s: int, rate_per_s: int | None
) -> None:
    """:raises TenantTaken: if there is one of this id"""
    made = connection.execute(
        text(
            "INSERT INTO tenants (id, name, order_deadline_s, rate_per_s) VALUES (:id, :name, :deadline, :rate) "
            "ON CONFLICT (id) DO NOTHING"
        ),
        {"id": tenant_id, "name": name, "deadline": order_deadline_s, "rate": rate_per_s},
    )
    if made.rowcount == 0:
        raise TenantTaken(tenant=tenant_id)


def set_rate(connection: Connection, tenant_id: str, rate_per_s: int | None) -> None:
    """:raises NoTenant: if there is none of this id"""
    found = connection.execute(
        text("UPDATE tenants SET rate_per_s = :rate WHERE id = :id"), {"id": tenant_id, "rate": rate_per_s}
    )
    if found.rowcount == 0:
        raise NoTenant(tenant=tenant_id)


def tenants(connection: Connection) -> list[Tenant]:
    """All tenants, with how many keys of theirs still open the door."""
    found = connection.execute(
        text(
            "SELECT t.id, t.name, t.rate_per_s, count(k.prefix) AS keys, t.created_at FROM tenants t "
            "LEFT JOIN api_keys k ON k.tenant_id = t.id AND (k.expires_at IS NULL OR k.expires_at > now()) "
            "GROUP BY t.id ORDER BY t.id"
        )
    )
    return [Tenant(*row) for row in found]


def rates(connection: Connection, tenant_ids: Sequence[str]) -> dict[str, int | None]:
    """The rates of those of the tenants that there are."""
    found = connection.execute(
        text("SELECT id, rate_per_s FROM tenants WHERE id = ANY(:ids)"), {"ids": list(tenant_ids)}
    )
    return {row.id: row.rate_per_s for row in found}
