"""How many events a second one relay process publishes."""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import psutil
from sqlalchemy import Engine, text

from app import database
from app.doorbell import Bell
from app.outbox import sequencer
from app.outbox.side_by_side import Relays
from benchmarks import stores
from benchmarks.pages import Section, table
from infra import kept, wiring
from infra.settings import Settings

TITLE = "Relaying events"
EVENTS = 120_000
WANTED_PER_S = 10_000
SINKS = ("redis-stream", "kafka")

_WRITE = text("""
    INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data)
    SELECT 'default', o.id, e.* FROM (
        SELECT md5(n::text)::uuid::text AS id FROM generate_series(1, :orders) n OFFSET 0
    ) o CROSS JOIN LATERAL (VALUES
        (1, 'order.accepted', json_build_object('status', 'PENDING')),
        (2, 'order.confirmed', json_build_object('status', 'CONFIRMED', 'channel', 'partner', 'partner', 'swift',
            'eta', now() + interval '30 min', 'accepted_at', now())),
        (3, 'order.preparing', json_build_object('status', 'PREPARING'))
    ) e
""")


def measure(scale: float) -> dict[str, Any]:
    with stores.started("relay") as servers, stores.kafka_cluster(servers.home) as brokers:
        settings = servers.with_values(kafka_brokers=brokers)
        db = database.engine(settings.database_url.get_secret_value(), pool_size=4)
        told = _measured(settings, db, round(EVENTS * scale))
        db.dispose()
    slow = [sink for sink in SINKS if told[sink]["events_per_s"] < WANTED_PER_S]
    return {"rates": told, "broken": [f"{sink} gets less than {WANTED_PER_S} events/s" for sink in slow]}


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    rows = [
        [name, told["events"], told["events_per_s"], told["own_us"], told["postgres_us"], told["redis_us"]]
        for name, told in found["rates"].items()
    ]
    return Section(
        "Orders of three events each, written beforehand; the sequencer moves them to the log, then one relay process "
        "publishes all of them: to Redis Streams, to librdkafka's mock of a Kafka cluster, to both side by side. CPU "
        "is in microseconds an event; the mock's is not counted.\n\n"
        + table(["", "events", "events/s", "own CPU", "Postgres", "Redis"], rows)
    )


def _measured(settings: Settings, db: Engine, events: int) -> dict[str, dict[str, float]]:
    """The figures of the sequencer, of each sink, and of the sinks together."""
    with db.begin() as connection:
        connection.execute(_WRITE, {"orders": events // 3})
        connection.execute(text("ANALYZE outbox_in"))
    told = {"sequencer": _timed(settings, partial(_until_empty, partial(_sequence, db)))}
    relays = {relay.sink: relay for relay in wiring.relays(settings, db, _nobody)}
    chosen = [relays[sink] for sink in SINKS]
    for relay in chosen:
        told[relay.sink] = _timed(settings, partial(_until_empty, relay.run_once))
    _begin_again(settings, db)
    told["together"] = _timed(settings, partial(_until_at_end, db, Relays(chosen)))
    return told


def _timed(settings: Settings, publish: Callable[[], int]) -> dict[str, float]:
    """
    Let it publish.

    :return: `events_per_s`, and microseconds of CPU an event by process
    """
    before, began = _cpu_s(settings), time.monotonic()
    events = publish()
    took_s, after = time.monotonic() - began, _cpu_s(settings)
    cpu = {f"{name}_us": round((after[name] - before[name]) / events * 1e6, 1) for name in after}
    return {"events": events, "events_per_s": round(events / took_s), **cpu}


def _cpu_s(settings: Settings) -> dict[str, float]:
    """CPU so far, user and system, of this process, of all of Postgres and of Redis."""
    ports = kept.ports(settings.home)
    return {"own": sum(os.times()[:2])} | {
        name: sum(sum(one.cpu_times()[:2]) for one in (server, *server.children(recursive=True)))
        for name, server in ((name, _listens(ports[name])) for name in ("postgres", "redis"))
    }


def _listens(port: int) -> psutil.Process:
    """The server at the port, of which all others of it are children."""
    pids = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.laddr.port == port and each.status == psutil.CONN_LISTEN and each.pid
    }
    return psutil.Process(min(pids))


def _until_empty(step: Callable[[], int]) -> int:
    moved = 0
    while more := step():
        moved += more
    return moved


def _until_at_end(db: Engine, relays: Relays) -> int:
    """The events of all sinks, once none lacks any."""
    while True:
        relays.run_once()
        with db.connect() as connection:
            taken, lacking = connection.execute(
                text("SELECT sum(s.pos)::bigint, sum(q.pos - s.pos) FROM sinks s, outbox_sequencer q")
            ).one()
        if not lacking:
            return int(taken)


def _sequence(db: Engine) -> int:
    with db.begin() as connection:
        return sequencer.sequence(connection)


def _begin_again(settings: Settings, db: Engine) -> None:
    """As if nothing had been published."""
    wiring.redis_client(settings.events_url.get_secret_value()).flushdb()
    with db.begin() as connection:
        connection.execute(text("UPDATE sinks SET pos = 0"))


def _nobody(_: Bell) -> None:
    """Nobody sends webhooks here."""
