"""
The API's composition root: `granian --interface asgi infra.api:hot_lane`.

Flask alone is served by `granian --interface wsgi infra.api:application`.
"""

import time
from functools import cache, partial

import redis
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app import crash_points, database
from app.doorbell import Bell
from app.orders import queries
from app.orders.accept import StartWith
from app.orders.group_commit import GroupCommit
from app.orders.views import OrderFilter, OrderPage, OrderView, Position, TimelineEntry
from app.runs.model import Direction
from app.runs.pressure import Pressure
from app.tenants import service as tenants
from app.webhooks.desk import WebhookDesk
from infra import logs
from infra.exposition import Exposition
from infra.settings import REDIS_ROLES, Settings
from infra.wiring import doorbell, keyring, partner_names, redis_client, webhooks_allowed
from sagas.all import SAGAS
from sagas.delivery_desk import DeliveryDesk
from sagas.fulfill_order import FULFILL_ORDER
from sagas.operations import Operations
from sagas.pause_desk import PauseDesk
from sagas.scheduled_order import FULFILL_SCHEDULED_ORDER
from tasks.base import Services as TaskServices
from tasks.base import application as celery_application
from web.app import create_app
from web.hot_lane import HotLane
from web.services import Principal, Services


class Reading:
    """Orders as clients see them, each answer from one short transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def order(self, tenant_id: str, order_id: str) -> OrderView | None:
        return database.read(
            self._db, lambda c: queries.order(c, tenant_id, order_id, steps=step_names, stages=stage_names)
        )

    def page(self, tenant_id: str, wanted: OrderFilter, after: Position | None, limit: int) -> OrderPage:
        return database.read(self._db, lambda c: queries.page(c, tenant_id, wanted, after, limit))

    def timeline(self, tenant_id: str, order_id: str) -> list[TimelineEntry] | None:
        return database.read(self._db, lambda c: queries.timeline(c, tenant_id, order_id, steps=step_names))


class Keys:
    """API keys, remembered for a minute so that a request costs no query."""

    REMEMBERED_S = 60.0

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, tuple[float, tenants.ApiKey]] = {}

    def authenticate(self, token: str) -> Principal | None:
        visible = tenants.prefix(token)
        key = self._key(visible) if visible else None
        if key is None or not key.matches(token):
            return None
        return Principal(key.tenant_id, key.prefix, key.scopes)

    def _key(self, visible: str) -> tenants.ApiKey | None:
        known = self._known.get(visible)
        if known and known[0] > time.monotonic():
            return known[1]
        try:
            key = database.read(self._db, lambda connection: tenants.find_key(connection, visible))
        except database.DatabaseAway:
            if known is None:
                raise
            return known[1]  # better a key of a minute ago than no service
        if key:
            self._known[visible] = (time.monotonic() + self.REMEMBERED_S, key)
        return key


@cache
def step_names(saga: str, version: int) -> tuple[str, ...]:
    return tuple(step.name for step in SAGAS.get(saga, version).steps)


@cache
def stage_names(saga: str, version: int, direction: Direction, stage: int) -> str:
    definition = SAGAS.get(saga, version)
    return ", ".join(definition.steps[n].name for n in definition.travelled(direction)[stage])


def readiness(db: Database, clients: dict[str, "redis.Redis"]) -> dict[str, bool | str]:
    """Every dependency: True, or why not."""
    found: dict[str, bool | str] = {}
    try:
        with db.connect() as connection:
            connection.execute(text("SELECT 1"))
        found["postgres"] = True
    except SQLAlchemyError as error:
        found["postgres"] = type(error).__name__
    for name, client in clients.items():
        try:
            found[name] = bool(client.ping())
        except redis.RedisError as error:
            found[name] = type(error).__name__
    return found


def group_commit(settings: Settings) -> GroupCommit:
    url = settings.database_url.get_secret_value()
    bell = doorbell(settings, celery_application(_no_tasks_here))
    later = (FULFILL_SCHEDULED_ORDER.name, FULFILL_SCHEDULED_ORDER.version)
    start = StartWith(FULFILL_ORDER.name, FULFILL_ORDER.version, later)
    return GroupCommit(database.engine(url, pool_size=1), bell, start)


def services(settings: Settings, commit: GroupCommit) -> Services:
    """All that the HTTP shells call."""
    url = settings.database_url.get_secret_value()
    db = database.engine(url, pool_size=8)
    pressure = Pressure(database.engine(url, pool_size=1), shed_above_s=settings.shed_above_ms / 1000)
    reading = Reading(db)
    bell = doorbell(settings, celery_application(_no_tasks_here))
    desk = Operations(db, SAGAS, bell)
    clients = {
        f"redis-{role}": redis_client(getattr(settings, f"{role}_url").get_secret_value())
        for role in REDIS_ROLES
    }
    return Services(
        authenticate=Keys(db).authenticate,
        accept=commit.submit,
        order=reading.order,
        list_orders=reading.page,
        timeline=reading.timeline,
        readiness=partial(readiness, db, clients),
        metrics=Exposition(db, clients["redis-broker"], desk).expose,
        shedding=pressure.retry_after_s,
        runs=desk,
        webhooks=WebhookDesk(
            db,
            keyring(settings),
            allowed=webhooks_allowed(settings),
            ring=partial(bell.ring, Bell.WEBHOOKS),
        ),
        pauses=PauseDesk(db, SAGAS, partial(partner_names, settings), bell),
        deliveries=DeliveryDesk(db, bell),
    )


def _no_tasks_here() -> TaskServices:
    raise RuntimeError("the API sends tasks but runs none")


settings = Settings.load()
logs.configure(settings.log_level)
if settings.crash_points:
    crash_points.arm(settings.home / "crash-points")
_commit = group_commit(settings)
_services = services(settings, _commit)
application = create_app(_services)
hot_lane = HotLane(application, _services, _commit.submit_for, threads=settings.api_threads)
