"""The answer to /metrics: what all processes counted, and gauges read from the stores at that moment."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import redis
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app import database, errors
from app.runs import pauses
from app.runs.pauses import Pause
from app.runs.pressure import oldest_age_s
from app.runs.views import ParkedGroup
from infra.capacity_gauges import Taken
from infra.channel_gauges import Channels
from infra.settlement_gauges import Differing
from sagas.operations import Operations
from tasks import names
from tasks.priorities import kept_under

QUEUES = (
    *(names.STEPS, names.PARTNER, names.PATIENT, names.OPTIMIZER),
    *(names.CONTROL, names.OUTBOX, names.WEBHOOKS),
)
HELD_BACK_EVERY_S = 10.0  # what is parked and paused may be much to count, and moves slowly

_GAUGES = """
    SELECT (SELECT count(*) FROM slots WHERE cohort_id IS NOT NULL) AS cohorts_in_flight,
        (SELECT count(*) FROM (SELECT FROM runs WHERE state = 'w' LIMIT 100000) w) AS runs_waiting,
        (SELECT count(*) FROM runs WHERE state = 'p') AS runs_parked,
        (SELECT count(*) FROM (SELECT FROM outbox_in LIMIT 100000) o) AS events_unsequenced
"""
_SINKS = """
    SELECT s.name, q.pos - s.pos AS lag,
        (SELECT count(*) FROM dead_letters d WHERE d.sink = s.name AND d.delivered_at IS NULL) AS dead,
        coalesce(extract(epoch FROM clock_timestamp() - (SELECT at FROM outbox_log l
            WHERE l.day >= s.day AND l.pos > s.pos ORDER BY l.day, l.pos LIMIT 1)), 0)::float AS oldest_s
    FROM sinks s CROSS JOIN outbox_sequencer q
"""
_SINK_MEANINGS = {
    "lag": ("uoop_sink_lag_events", "Events in the log that the sink has not taken."),
    "oldest_s": ("uoop_sink_oldest_seconds", "Age of the oldest event that the sink has not taken."),
    "dead": ("uoop_sink_dead_events", "Events put aside for the sink, not yet delivered by a person."),
}
_MEANINGS = {
    "cohorts_in_flight": "Cohorts under way.",
    "runs_waiting": "Runs that wait in a lane, counted up to 100,000.",
    "runs_parked": "Runs that need a person.",
    "events_unsequenced": "Events committed but not yet in the log, counted up to 100,000.",
}


class Stores(Collector):
    """Gauges that stand in Postgres and in the broker, looked up at each scrape."""

    def __init__(self, db: Engine, broker: "redis.Redis") -> None:
        self._db, self._broker = db, broker

    def collect(self) -> Iterator[Metric]:
        yield from self._from_postgres()
        yield from self._from_broker()

    def _from_postgres(self) -> Iterator[Metric]:
        try:
            with self._db.connect() as connection:
                row = connection.execute(text(_GAUGES)).one()
                age_s = oldest_age_s(connection)
                sinks = connection.execute(text(_SINKS)).all()
        except SQLAlchemyError:
            return  # missing gauges say it
        for name, meaning in _MEANINGS.items():
            yield GaugeMetricFamily(f"uoop_{name}", meaning, value=getattr(row, name))
        yield GaugeMetricFamily(
            "uoop_oldest_waiting_seconds", "Age of the oldest due run at the front.", value=age_s
        )

        for column, (name, meaning) in _SINK_MEANINGS.items():
            gauge = GaugeMetricFamily(name, meaning, labels=["sink"])
            for sink in sinks:
                gauge.add_metric([sink.name], float(getattr(sink, column)))
            yield gauge

    def _from_broker(self) -> Iterator[Metric]:
        depths = GaugeMetricFamily("uoop_queue_depth", "Messages in a worker queue.", labels=["queue"])
        try:
            for queue in QUEUES:
                waiting = sum(int(self._broker.llen(key)) for key in kept_under(queue))
                depths.add_metric([queue], float(waiting))
        except redis.RedisError:
            return
        yield depths


class HeldBack(Collector):
    """What is parked or paused, of all tenants; counted at most every 10 s, however many scrape."""

    def __init__(self, db: Engine, desk: Operations) -> None:
        self._db, self._desk = db, desk
        self._lock = threading.Lock()
        self._counted: tuple[list[ParkedGroup], list[Pause]] | None = None
        self._until = 0.0

    def collect(self) -> Iterator[Metric]:
        try:
            parked, paused = self._latest()
        except (SQLAlchemyError, errors.Unavailable):
            return  # missing gauges say it
        now = datetime.now(UTC)
        yield from _parked(parked, now)
        yield from _paused(paused, now)

    def _latest(self) -> tuple[list[ParkedGroup], list[Pause]]:
        with self._lock:
            if self._counted is None or time.monotonic() > self._until:
                paused = database.read(self._db, lambda connection: pauses.active(connection, None))
                self._counted = self._desk.parked(None), paused
                self._until = time.monotonic() + HELD_BACK_EVERY_S
            return self._counted


class Exposition:
    """The answers of one process."""

    def __init__(self, db: Engine, broker: "redis.Redis", desk: Operations) -> None:
        self._collectors: Sequence[Collector] = (
            Stores(db, broker),
            HeldBack(db, desk),
            Differing(db),
            Channels(db),
            Taken(db),
        )

    def expose(self) -> tuple[bytes, str]:
        """:return: the exposition and its content type"""
        registry = CollectorRegistry()
        for collector in self._collectors:
            registry.register(collector)
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry), CONTENT_TYPE_LATEST
        return generate_latest(registry) + generate_latest(REGISTRY), CONTENT_TYPE_LATEST


def _parked(groups: Sequence[ParkedGroup], now: datetime) -> Iterator[Metric]:
    labels = ["saga", "step", "code"]
    runs = GaugeMetricFamily("uoop_parked", "Runs that need a person, by where and why.", labels=labels)
    ages = GaugeMetricFamily(
        "uoop_parked_oldest_seconds", "Since when the oldest of them is parked.", labels=labels
    )
    places = GaugeMetricFamily(
        "uoop_parked_places", "Places in kitchens' windows that they keep.", labels=labels
    )
    money = GaugeMetricFamily(
        "uoop_parked_money",
        "Customers' money that they hold, for sure or perhaps, in major units.",
        labels=[*labels, "currency", "certainty"],
    )
    for group in groups:
        values = [group.saga, group.step or "", group.code or ""]
        runs.add_metric(values, group.runs)
        ages.add_metric(values, (now - group.first_seen).total_seconds())
        places.add_metric(values, group.holds)
        for each in group.money:
            money.add_metric([*values, each.currency or "", "held"], float(each.held))
            money.add_metric([*values, each.currency or "", "in-doubt"], float(each.in_doubt))
    yield from (runs, ages, places, money)


def _paused(found: Sequence[Pause], now: datetime) -> Iterator[Metric]:
    labels = ["kind", "name"]
    ages = GaugeMetricFamily("uoop_paused_seconds", "For how long it has been paused.", labels=labels)
    runs = GaugeMetricFamily("uoop_paused_runs", "Runs that wait for its resume.", labels=labels)
    for each in found:
        ages.add_metric([each.kind, each.name], (now - each.since).total_seconds())
        runs.add_metric([each.kind, each.name], each.runs)
    yield from (ages, runs)
