"""A platform of a benchmark's own, with a city in it, and what its database tells of orders."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path

from sqlalchemy import Engine, text

from app import database
from app.fleet import service as fleet
from app.restaurants import service as restaurants
from app.tenants import keys, service
from app.tenants.service import DEFAULT_TENANT
from infra import kept, running
from infra.demo import city
from infra.settings import Settings

SEED = 7

_TOOK = text("""
    SELECT extract(epoch FROM e.at - o.created_at)::float
    FROM uoop_orders o LEFT JOIN LATERAL (
        SELECT at FROM outbox_log WHERE order_id = o.id AND type = 'order.confirmed'
        UNION ALL SELECT at FROM outbox_in WHERE order_id = o.id AND type = 'order.confirmed' LIMIT 1) e ON true
    WHERE o.tenant_id = :tenant AND o.created_at BETWEEN :since AND :until
""")


@contextmanager
def platform(**changes: object) -> Iterator[Settings]:
    """Everything but Flower, started anew and taken away at the end."""
    home = Path(tempfile.mkdtemp(prefix="uoop-bench-")).resolve()
    chosen = Settings.load().with_values(home=home, port=kept.port(home, "api"), flower=False, **changes)
    try:
        running.up_detached(chosen)
        yield running.connected(chosen)
    finally:
        running.down(chosen)
        shutil.rmtree(home)


def engine(settings: Settings) -> Engine:
    return database.engine(settings.database_url.get_secret_value(), pool_size=2)


def tenant(db: Engine, place: city.City, name: str) -> str:
    """Make a tenant that has the city's restaurants and couriers; returns a key of its own."""
    with db.begin() as connection:
        if name != DEFAULT_TENANT:
            service.create_tenant(connection, name, name=name, order_deadline_s=900, rate_per_s=None)
        restaurants.register(connection, name, place.restaurants)
        fleet.register(connection, name, place.couriers)
        return keys.create(connection, name, scopes=["orders:read", "orders:write"], who="benchmark")


def took_s(db: Engine, tenant: str, since: datetime, until: datetime) -> list[float | None]:
    """From acceptance to confirmation of the orders accepted then; None where there is none."""
    with db.begin() as connection:
        values = {"tenant": tenant, "since": since, "until": until}
        return list(connection.execute(_TOOK, values).scalars())


def settled_s(
    db: Engine, tenant: str, since: datetime, until: datetime, *, within_s: float
) -> list[float | None]:
    """The same when all are confirmed, or the time is over."""
    end = time.monotonic() + within_s
    while None in (found := took_s(db, tenant, since, until)) and time.monotonic() < end:
        time.sleep(0.5)
    return found


def ask(settings: Settings, path: str, token: str = "") -> bytes:
    """GET it."""
    connection = HTTPConnection(settings.host, settings.port, timeout=30)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        return connection.getresponse().read()
    finally:
        connection.close()
