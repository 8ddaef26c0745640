"""The answer to /metrics: what all processes counted, and gauges read from the stores at that moment."""

import os
from collections.abc import Iterator

import redis
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app.runs.pressure import oldest_age_s
from tasks import names
from tasks.priorities import kept_under

QUEUES = (names.STEPS, names.PARTNER, names.PATIENT, names.OPTIMIZER, names.CONTROL, names.OUTBOX)

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
    """Gauges that stand in Postgres and in the broker."""

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


def expose(db: Engine, broker: "redis.Redis") -> tuple[bytes, str]:
    """:return: the exposition and its content type"""
    registry = CollectorRegistry()
    registry.register(Stores(db, broker))
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST
    return generate_latest(registry) + generate_latest(REGISTRY), CONTENT_TYPE_LATEST
