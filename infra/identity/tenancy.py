"""Which tenants there are, for those who come without a key of ours."""

import time

from sqlalchemy import Engine as Database

from app import database
from app.tenants import service as tenants
from app.tenants.service import NoTenant

REMEMBERED_S = 5.0
REMEMBERED = 10_000


class Tenancy:
    """Tenants as they were at most 5 s ago."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, tuple[float, int | None]] = {}

    def rate_per_s(self, tenant_id: str) -> int | None:
        """
        How many requests a second the tenant may make; None: as the settings say.

        :raises NoTenant: if there is no such tenant
        """
        now = time.monotonic()
        known = self._known.get(tenant_id)
        if known and known[0] > now:
            return known[1]
        found = database.read(self._db, lambda connection: tenants.rates(connection, [tenant_id]))
        if tenant_id not in found:
            raise NoTenant(tenant=tenant_id)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[tenant_id] = (now + REMEMBERED_S, found[tenant_id])
        return found[tenant_id]
