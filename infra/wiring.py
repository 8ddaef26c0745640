"""Puts the platform together for one process, from its settings."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import redis
import structlog
from celery import Celery
from kombu.exceptions import KombuError
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine as Database
from sqlalchemy.exc import OperationalError

from app import database, partitions
from app.callbacks import callers
from app.capacity import drift, renewal, usage
from app.capacity import service as capacity
from app.capacity.ledger import Ledger
from app.doorbell import Bell
from app.errors import Unavailable
from app.fleet import service as fleet
from app.fleet.provider import OwnFleet
from app.forecasting import service as forecasting
from app.optimization.model import OWN_FLEET, Partner
from app.outbox import dead_letters, sequencer
from app.outbox.model import Event
from app.outbox.port import Sink
from app.outbox.redis_stream import RedisStream
from app.outbox.relay import Relay
from app.outbox.side_by_side import Relays
from app.providers import registry
from app.providers.port import Kind, Provider
from app.routing import figures
from app.routing.breakers import Breakers
from app.routing.figures import Recorder
from app.routing.guarded import Guarded
from app.routing.pickup import PICKUP, Pickup
from app.routing.standings import Standings
from app.runs import executions
from app.settlement.service import Settlement
from app.webhooks.desk import WebhookDesk
from app.webhooks.keyring import Keyring
from app.webhooks.sender import Sender
from app.webhooks.sink import Webhooks
from infra import kept, metrics
from infra.settings import Settings
from infra.status_cache import Announcer
from sagas import deliveries, pool
from sagas.all import SAGAS
from sagas.backends.celery import CeleryCarrier
from sagas.engine import Engine, Limits
from sagas.heartbeat import Heartbeat
from sagas.ports import Ports
from sagas.settlement import BOOKS
from tasks import names
from tasks.base import Services
from tasks.doorbell import RedisDoorbell
from tasks.time_limits import limited

log = structlog.get_logger()

SETTLE_FOR_S = 1.0  # of every 5 s between two ticks: never more than a fifth of one process
TOLD_WITHIN_S, TELL_EVERY_S = 600.0, 0.25


class ProvidersUnknown(Unavailable):
    """This process cannot read the providers file."""

    code = "providers-unknown"


def redis_client(url: str, *, connect_s: float = 2, answer_s: float = 5) -> "redis.Redis":
    """A client that cannot hang."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=connect_s,
        socket_timeout=answer_s,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(
            NoBackoff(), 1
        ),  # a connection that went stale is made anew; its own default waits up to 10 s
    )


def doorbell(settings: Settings, app: Celery) -> RedisDoorbell:
    return RedisDoorbell(redis_client(settings.cache_url.get_secret_value()), app)


def check_providers(settings: Settings) -> None:
    """:raises ProvidersFileError: if the file cannot be used, or has not one payment provider and one restaurant"""
    declared = registry.read(settings.providers)
    callers.check(declared)
    kinds = [config.kind for config in declared]
    for kind in (Kind.PAYMENT, Kind.RESTAURANT):
        if kinds.count(kind) != 1:
            raise registry.ProvidersFileError(
                f"providers file {settings.providers}: needs one provider of kind {kind}, "
                f"and has {kinds.count(kind)}"
            )


def partner_names(settings: Settings) -> set[str]:
    """
    Whoever is called, the own fleet among them; read anew, so that the API need not be restarted with the workers.

    :raises ProvidersUnknown: if the providers file is not here
    """
    try:
        return {config.name for config in registry.read(settings.providers)} | {OWN_FLEET}
    except registry.ProvidersFileError as error:
        raise ProvidersUnknown(detail=str(error)) from error


def delivery_partners(settings: Settings) -> set[str]:
    """
    Who has a breaker; read anew, as `partner_names`.

    :raises ProvidersUnknown: if the providers file is not here
    """
    try:
        return {c.name for c in registry.read(settings.providers) if c.kind is Kind.DELIVERY}
    except registry.ProvidersFileError as error:
        raise ProvidersUnknown(detail=str(error)) from error


def services(settings: Settings, app: Celery) -> Services:
    """All that tasks call."""
    db = database.engine(settings.database_url.get_secret_value(), pool_size=4)
    ledger = Ledger(redis_client(settings.ledger_url.get_secret_value()))
    bell = doorbell(settings, app)
    broker = redis_client(settings.broker_url.get_secret_value())
    carrier = CeleryCarrier(app, broker, SAGAS, spread_from=settings.spread_from)
    limits = Limits(cohort_size=settings.cohort_size, lane_interval_s=settings.lane_interval_ms / 1000)
    ports = _ports(settings, db, ledger, bell)
    used = relays(settings, db, bell.ring)
    return Services(
        engine=Engine(ports, SAGAS, carrier, bell, Heartbeat(db), limits, limited),
        doorbell=bell,
        sequence=partial(_sequence, db),
        relays=Relays(used),
        send_webhooks=_sender(settings, db, bell).run,
        apply_reports=partial(deliveries.apply_reports, ports),
        watch_deliveries=partial(deliveries.watch_deliveries, ports),
        reconcile=partial(reconcile, db, ledger),
        mend_capacity=partial(mend_capacity, db, ledger, settings.slot_capacity),
        measure_capacity=partial(_measure_capacity, db, ledger, settings.slot_capacity),
        forecast=partial(_forecast, db),
        maintain=partial(_maintain, db, [relay.sink for relay in used]),
        replan_pool=partial(pool.replan, ports),
        settle=partial(_settle, settlement(settings, db), from_hour=settings.settle_hour),
    )


def settlement(settings: Settings, db: Database) -> Settlement:
    """
    The comparison with every declared provider and the own fleet.

    :raises ProvidersFileError: as `check_providers` does
    """
    check_providers(settings)
    sides: dict[str, Provider] = {
        provider.name: provider for provider in registry.load(settings.providers, engine=db)
    }
    sides[OWN_FLEET] = OwnFleet(db)
    return Settlement(db, BOOKS, sides, holder=f"{socket.gethostname()}:{os.getpid()}")


def sinks(settings: Settings, db: Database, ring: Callable[[Bell], None]) -> list[Sink]:
    """Where events go; a new sink is one more line."""
    found: list[Sink] = [
        RedisStream(redis_client(settings.events_url.get_secret_value())),
        Webhooks(db, ring=partial(ring, Bell.WEBHOOKS)),
    ]
    if settings.kafka_brokers:
        from infra import kafka  # noqa: PLC0415 (a sixth of a second, only where there is Kafka)

        found.append(kafka.sink(settings))
    return found


def relays(settings: Settings, db: Database, ring: Callable[[Bell], None]) -> list[Relay]:
    """One for each sink, with all that is done once it has taken events."""
    holder = f"{socket.gethostname()}:{os.getpid()}"
    announcer = Announcer(redis_client(settings.cache_url.get_secret_value()))
    return [_relay(db, sink, holder, announcer) for sink in sinks(settings, db, ring)]


def keyring(settings: Settings) -> Keyring:
    """What seals the secrets of webhooks; made once where none is given."""
    given = settings.webhook_key.get_secret_value()
    return Keyring(*given.split(",")) if given else Keyring(kept.secret(settings.home / "webhook-key"))


def webhooks_allowed(settings: Settings) -> frozenset[str]:
    """Receivers that may be inside, for development."""
    return frozenset(each.strip().lower() for each in settings.webhook_allowed.split(",") if each.strip())


def webhook_desk(settings: Settings, db: Database, *, ring: Callable[[], None]) -> WebhookDesk:
    """:param ring: wakes the sender"""
    return WebhookDesk(db, keyring(settings), allowed=webhooks_allowed(settings), ring=ring)


def _sender(settings: Settings, db: Database, bell: RedisDoorbell) -> Sender:
    return Sender(
        db,
        keyring(settings),
        machine=socket.gethostname(),
        holder=f"{socket.gethostname()}:{os.getpid()}",
        ring=partial(bell.ring, Bell.WEBHOOKS),
        allowed=webhooks_allowed(settings),
        at_once=settings.webhook_concurrency,
        timeout_s=settings.webhook_timeout_s,
        observe=metrics.observe_webhook,
        observe_disabled=lambda reason: metrics.WEBHOOKS_DISABLED.labels(reason).inc(),
    )


def _relay(db: Database, sink: Sink, holder: str, announcer: Announcer) -> Relay:
    return Relay(
        db,
        sink,
        holder=holder,
        observe=partial(_delivered, sink.name, announcer),
        is_wanted=sink.is_wanted if isinstance(sink, Webhooks) else lambda: True,
    )


def worker_died(settings: Settings, pid: int | None) -> None:
    """
    A worker died with messages in its hands: the sweep shall send again what nobody is executing.

    Said until both stores have taken it: a Redis that is away is what workers die of.

    :param pid: whose children's executions are surely over; None: leases tell
    """
    db = database.engine(settings.database_url.get_secret_value(), pool_size=1)
    with Celery(broker=settings.broker_url.get_secret_value(), set_as_current=False) as app:
        app.conf.broker_transport_options = {"socket_timeout": 5, "socket_connect_timeout": 2}
        carrier = CeleryCarrier(app, redis_client(settings.broker_url.get_secret_value()), SAGAS)
        until = time.monotonic() + TOLD_WITHIN_S
        while True:
            try:
                if pid is not None:
                    with db.begin() as connection:
                        executions.bury(connection, pid)
                carrier.forget()
                app.send_task(names.SWEEP, queue=names.CONTROL, retry=False, ignore_result=True)
                return
            except (OperationalError, redis.RedisError, KombuError):
                if time.monotonic() > until:
                    raise
                time.sleep(TELL_EVERY_S)


def _ports(settings: Settings, db: Database, ledger: Ledger, bell: RedisDoorbell) -> Ports:
    check_providers(settings)
    providers = registry.load(settings.providers, engine=db)
    delivery = providers.of_kind(Kind.DELIVERY)
    (payment,) = providers.of_kind(Kind.PAYMENT)
    (restaurants,) = providers.of_kind(Kind.RESTAURANT)
    configs = [providers.configs[provider.name] for provider in delivery]
    breakers, recorder = Breakers(db), Recorder(db)
    return Ports(
        engine=db,
        ledger=ledger,
        doorbell=bell,
        payment=payment,
        restaurants=restaurants,
        delivery={
            **{provider.name: Guarded(provider, breakers, recorder) for provider in delivery},
            OWN_FLEET: OwnFleet(db),
            PICKUP: Pickup(),
        },
        breakers=breakers,
        standings=Standings(db),
        partners=tuple(
            Partner(
                name=config.name,
                base_fee=float(config.base_fee),
                per_km=float(config.per_km),
                speed_m_per_s=config.speed_m_per_min / 60,
                orders_per_hour=config.orders_per_hour,
            )
            for config in configs
        ),
        slot_capacity=settings.slot_capacity,
        silence_s={config.name: config.silence_s for config in configs if config.reports},
    )


def _delivered(sink: str, announcer: Announcer, events: Sequence[Event]) -> None:
    """What is done once a sink has taken events for the first time."""
    metrics.observe_delivery(sink, events)
    if sink == RedisStream.name:  # the sink that is always there
        announcer.announce(events)


def _sequence(db: Database) -> int:
    with db.begin() as connection:
        return sequencer.sequence(connection)


def reconcile(db: Database, ledger: Ledger) -> None:
    """Rebuild a capacity ledger that has lost its epoch."""
    with db.begin() as connection:
        wanted = capacity.epoch(connection)
    try:
        if ledger.epoch() != wanted:
            capacity.rebuild(db, ledger)
    except Unavailable:
        return  # Redis is away: nothing can be held meanwhile either


def _settle(settlement: Settlement, *, from_hour: int) -> None:
    settlement.tick(now=datetime.now(UTC), from_hour=from_hour, for_s=SETTLE_FOR_S)


def _forecast(db: Database) -> None:
    forecasting.make_due(db, now=datetime.now(UTC))


def _measure_capacity(db: Database, ledger: Ledger, default: int) -> None:
    with suppress(Unavailable):
        usage.measure(db, ledger, default=default, now=datetime.now(UTC))


def mend_capacity(db: Database, ledger: Ledger, default: int) -> None:
    """
    Mend what ledger and truth do not share, renew what would lapse, and tell of it.

    :param default: what a kitchen takes of which nothing is said
    """
    now = datetime.now(UTC)
    try:
        drifts = drift.mend(db, ledger, now=now)
        renewed = renewal.renew(db, ledger, default=default, now=now)
    except Unavailable:
        return  # away, or lost: then it is rebuilt
    for one in drifts:
        log.warning("capacity-drift", cause=one.cause, slot=one.slot, order_id=one.order_id)
        metrics.DRIFT.labels(one.cause).inc()
    for run_id in renewed.lost:
        log.warning("capacity-hold-lost", run_id=run_id)


def _maintain(db: Database, sinks_in_use: Sequence[str]) -> None:
    """Make and drop partitions and what is as old; what a sink lacks of a day that goes becomes its dead letters."""
    now = datetime.now(UTC)
    with db.begin() as connection:
        first_kept = (now - partitions.retention("outbox_log")).date()
        dead_letters.keep_overdue(connection, sinks_in_use, before=first_kept)
    with db.begin() as connection:
        fleet.forget(connection, before=now - partitions.retention("runs"))
        figures.forget(connection, before=now - figures.KEPT)
        usage.forget(connection, now=now)
    partitions.maintain(db, now=now)
