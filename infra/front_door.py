"""What stands behind the HTTP shells: every service that they ask, made from the settings."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import TypeVar

import redis
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app import database, signing
from app.callbacks.callers import CallersFile
from app.callbacks.service import Callbacks
from app.capacity.desk import CapacityDesk
from app.doorbell import Bell, Doorbell
from app.forecasting import service as forecasting
from app.limits.service import Limiter
from app.orders import accept, queries
from app.orders.accept import StartWith
from app.orders.group_commit import GroupCommit
from app.orders.views import OrderFilter, OrderPage, OrderView, Position, TimelineEntry
from app.outbox import queries as outbox
from app.outbox.model import Event
from app.runs.model import Direction
from app.runs.pressure import Pressure
from app.settlement.desk import DifferenceDesk
from infra.changes import Watcher
from infra.exposition import Exposition
from infra.identity import identity
from infra.settings import REDIS_ROLES, Settings
from infra.status_cache import StatusCache
from infra.wiring import (
    delivery_partners,
    doorbell,
    partner_names,
    redis_client,
    redis_client_for_loop,
    webhook_desk,
)
from sagas.all import SAGAS
from sagas.channel_desk import ChannelDesk
from sagas.delivery_desk import DeliveryDesk
from sagas.fulfill_order import FULFILL_ORDER
from sagas.operations import Operations
from sagas.pause_desk import PauseDesk
from sagas.scheduled_order import FULFILL_SCHEDULED_ORDER
from sagas.settlement import UNDOABLE
from tasks.base import Services as TaskServices
from tasks.base import application as celery_application
from web.limits import Limits
from web.services import OrderKey, Services
from web.tracking import Tracking

Client = TypeVar("Client")


class Reading:
    """Orders as clients see them, each answer from one short transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def order(self, tenant_id: str, order_id: str) -> OrderView | None:
        wanted = (tenant_id, order_id)
        return self.orders([wanted]).get(wanted)

    def orders(self, wanted: Sequence[OrderKey]) -> Mapping[OrderKey, OrderView]:
        return database.read(
            self._db, lambda c: queries.orders(c, wanted, steps=step_names, stages=stage_names)
        )

    def page(self, tenant_id: str, wanted: OrderFilter, after: Position | None, limit: int) -> OrderPage:
        return database.read(self._db, lambda c: queries.page(c, tenant_id, wanted, after, limit))

    def events(self, tenant_id: str, order_id: str, after: int) -> list[Event]:
        return database.read(self._db, lambda c: outbox.of_order(c, tenant_id, order_id, after=after))

    def timeline(self, tenant_id: str, order_id: str) -> list[TimelineEntry] | None:
        return database.read(self._db, lambda c: queries.timeline(c, tenant_id, order_id, steps=step_names))


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


def bell(settings: Settings) -> Doorbell:
    """What is rung after a commit."""
    return doorbell(settings, celery_application(_no_tasks_here))


def pressure(settings: Settings) -> Pressure:
    """What waits behind the door."""
    return Pressure(
        database.engine(settings.database_url.get_secret_value(), pool_size=1),
        shed_above_s=settings.shed_above_ms / 1000,
        claim=settings.cohort_size,
    )


def group_commit(settings: Settings, bell: Doorbell, behind: Pressure) -> GroupCommit:
    url = settings.database_url.get_secret_value()
    later = (FULFILL_SCHEDULED_ORDER.name, FULFILL_SCHEDULED_ORDER.version)
    start = StartWith(FULFILL_ORDER.name, FULFILL_ORDER.version, later, behind.lane)
    return GroupCommit(accept.engine(url, pool_size=2), bell, start)


def limiter(settings: Settings) -> Limiter:
    """Keeps rates together with the other API processes."""
    return Limiter(_quick_cache(settings, redis_client), share=1 / settings.api_workers)


def limits(settings: Settings, limiter: Limiter) -> Limits:
    """The rates of these settings."""
    return Limits(limiter, settings.key_rate_per_s, settings.tenant_rate_per_s)


def _quick_cache(settings: Settings, client: Callable[..., Client]) -> Client:
    """For what is asked by every request: a Redis that is slow is as good as away."""
    return client(settings.cache_url.get_secret_value(), connect_s=0.2, answer_s=0.2)


def services(settings: Settings, commit: GroupCommit, bell: Doorbell, behind: Pressure) -> Services:
    """All that the HTTP shells call."""
    url = settings.database_url.get_secret_value()
    db = database.engine(url, pool_size=8)
    reading = Reading(db)
    shared = limiter(settings)
    kept = StatusCache(_quick_cache(settings, redis_client), _quick_cache(settings, redis_client_for_loop))
    desk = Operations(db, SAGAS, bell, acted_on=kept.outdate)
    clients = {
        f"redis-{role}": redis_client(getattr(settings, f"{role}_url").get_secret_value())
        for role in REDIS_ROLES
    }
    return Services(
        identity=identity(settings, db),
        accept=commit.submit,
        order=reading.order,
        tracking=Tracking(reading.orders, kept),
        events=reading.events,
        changes=Watcher(clients["redis-cache"], db),
        list_orders=reading.page,
        timeline=reading.timeline,
        readiness=partial(readiness, db, clients),
        metrics=Exposition(db, clients["redis-broker"], desk).expose,
        cursor_secret=cache(partial(database.read, db, signing.of_cursors)),
        limits=limits(settings, shared),
        shedding=behind.retry_after_s,
        runs=desk,
        differences=DifferenceDesk(db, undoable=UNDOABLE),
        pauses=PauseDesk(db, SAGAS, partial(partner_names, settings), bell),
        channels=ChannelDesk(db, partial(delivery_partners, settings)),
        deliveries=DeliveryDesk(db, bell),
        capacity=CapacityDesk(db, default=settings.slot_capacity),
        forecast=lambda tenant: database.read(db, lambda c: forecasting.latest(c, tenant)),
        webhooks=webhook_desk(settings, db, ring=partial(bell.ring, Bell.WEBHOOKS)),
        callbacks=Callbacks(db, bell, CallersFile(settings.providers), shared),
    )


def _no_tasks_here() -> TaskServices:
    raise RuntimeError("the API sends tasks but runs none")
