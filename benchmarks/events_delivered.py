"""
Whether events come, in time and in order, while relays die: `python -m benchmarks.events_delivered --rate 1000`.

Starts a platform of its own with Redis Streams, librdkafka's mock of a Kafka cluster and webhooks, and consumers in
processes of their own that keep journals; sends orders at a fixed rate, one of twenty refused, one of forty of a
tenant whose four webhooks take what is confirmed and what failed, beside one that never answers. Every ten seconds
the process that relays is killed, and in the middle Redis, once. When all has come to rest, the journals are
compared with the log by the audit: every event there, under one id, first in its order's order, without a gap.

Prints one JSON object: for each sink what came, what came twice, and the share that came within 5 s, counted from
when the event was written, in the transaction, less the time for which Redis was away meanwhile. Exits 1 if an
event is missing, if the audit finds anything, or if a share is below 99.9 %.
"""

import argparse
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil
import redis
from sqlalchemy import Engine, text

from app.outbox.model import EventType
from app.outbox.queries import PROMPT_S
from app.tenants.service import DEFAULT_TENANT
from benchmarks import ground, stores
from benchmarks.event_consumers import HANGING
from infra import kept, running, wiring
from infra.audit import Report, audit
from infra.demo import arrivals, city
from infra.demo.journal import Journal
from infra.demo.load import Load
from infra.demo.pacing import Schedule
from infra.settings import Settings

WANTED_SHARE = 0.999
FAILING = 0.05
SHOP, ONE_OF, HOOKS = "shop", 40, ("till", "kitchen", "board", "ledger")
TOLD = (EventType.CONFIRMED, EventType.FAILED)
RELAY = "worker-outbox"
REST_WITHIN_S = 180.0
LOOK_EVERY_S = 0.02

_AT_REST = text("""
    SELECT NOT EXISTS (SELECT FROM outbox_in)
        AND NOT EXISTS (SELECT FROM sinks s, outbox_sequencer q WHERE s.pos < q.pos)
        AND NOT EXISTS (SELECT FROM runs WHERE state IN ('w', 't'))
        AND NOT EXISTS (SELECT FROM webhook_deliveries WHERE state <> 'd' AND endpoint_id = ANY(:hooks))
""")
_LOGGED = text("""
    SELECT count(*), count(*) FILTER (WHERE tenant_id = :shop AND type = ANY(:told)) FROM outbox_log
""")


@dataclass
class Killed:
    """When sending began, what was killed, and when Redis was away (seconds since 1970)."""

    began: float = field(default_factory=time.time)
    relays: int = 0
    away: list[tuple[float, float]] = field(default_factory=list)

    def away_s(self, since: float, until: float) -> float:
        """For how much of this time Redis was away."""
        return sum(max(0.0, min(end, until) - max(began, since)) for began, end in self.away)


def main() -> int:
    """Exit status 0 if all came, in order and in time."""
    options = _options()
    with ExitStack() as ends:
        folder = ends.enter_context(stores.folder("consumed"))
        brokers = ends.enter_context(stores.kafka_cluster(folder))
        port = ends.enter_context(_hooks(folder))
        on = ends.enter_context(
            ground.platform(flower=False, kafka_brokers=brokers, webhook_allowed=f"{kept.LOOPBACK}:{port}")
        )
        settings, db = on.settings, on.engine
        tokens = {DEFAULT_TENANT: on.token, SHOP: on.admit(SHOP)}
        hooks = _furnish(settings, db, port)
        journals = {"redis-stream": folder / "stream.jsonl", "kafka": folder / "kafka.jsonl"}
        _consume(ends, settings, folder, journals)
        journals |= {webhook: folder / f"{name}.jsonl" for name, webhook in hooks.items()}
        for path in journals.values():
            path.touch()
        killed, loads = _play(settings, tokens, options)
        report = _rest(settings, db, journals, list(hooks.values()))
        sinks = _figures(db, journals, hooks, killed)
    missing = {name: each["of"] - each["delivered"] for name, each in sinks.items()}
    good = report.clean and not any(missing.values())
    good = good and all(each["share_within_5s"] >= WANTED_SHARE for each in sinks.values())
    answer = {
        "good": good,
        "orders": sum(load.tally.accepted for load in loads),
        "sent_late_s": max(round(load.tally.behind_s, 3) for load in loads),
        "shed": sum(load.tally.shed for load in loads),
        "load_average": os.getloadavg()[0],
        "relays_killed": killed.relays,
        "redis_away": [[round(at - killed.began, 1) for at in each] for each in killed.away],
        "sinks": sinks,
        "violations": [finding.line for finding in report.violations],
    }
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rate", type=float, default=1000.0, help="orders per second")
    parser.add_argument("--seconds", type=float, default=60.0, help="of sending")
    parser.add_argument("--kill-every", type=float, default=10.0, help="seconds between relays killed")
    parser.add_argument(
        "--whole-worker", action="store_true", help=f"kill all of {RELAY}, not only the process that relays"
    )
    return parser.parse_args()


@contextmanager
def _hooks(folder: Path) -> Iterator[int]:
    """Receivers of webhooks, at this port."""
    command = (sys.executable, "-m", "benchmarks.event_consumers", "hooks", str(folder))
    with stores.process(command, folder / "hooks.log", signal.SIGTERM):
        yield int(stores.awaited(folder / "port"))


def _furnish(settings: Settings, db: Engine, port: int) -> dict[str, str]:
    """The webhooks; returns the ids of those that answer by their names."""
    desk = wiring.webhook_desk(settings, db, ring=lambda: None)
    made = {
        name: desk.create(SHOP, url=f"http://{kept.LOOPBACK}:{port}/{name}", types=TOLD, description=None).id
        for name in (*HOOKS, HANGING)
    }
    made.pop(HANGING)
    return made


def _consume(ends: ExitStack, settings: Settings, folder: Path, journals: dict[str, Path]) -> None:
    sources = {
        "redis-stream": ("stream", settings.events_url.get_secret_value()),
        "kafka": ("kafka", settings.kafka_brokers, settings.kafka_topic),
    }
    for name, source in sources.items():
        command = (sys.executable, "-m", "benchmarks.event_consumers", *source, str(journals[name]))
        ends.enter_context(stores.process(command, folder / f"{name}.log", signal.SIGTERM))


def _play(
    settings: Settings, tokens: dict[str, str], options: argparse.Namespace
) -> tuple[Killed, Sequence[Load]]:
    """Send, and kill meanwhile; returns when every order is answered."""
    killed, over = Killed(), threading.Event()
    rates = {DEFAULT_TENANT: options.rate * (1 - 1 / ONE_OF), SHOP: options.rate / ONE_OF}
    loads = {tenant: Load(settings.host, settings.port, token) for tenant, token in tokens.items()}
    sending = [
        threading.Thread(target=_send, args=(settings, tenant, load, rates[tenant], options.seconds))
        for tenant, load in loads.items()
    ]
    watching = threading.Thread(target=_watch_redis, args=(settings, killed, over))
    began = time.monotonic()
    for thread in (watching, *sending):
        thread.start()
    kill_at, redis_at = options.kill_every, options.seconds / 2
    while any(thread.is_alive() for thread in sending):
        elapsed = time.monotonic() - began
        if elapsed >= kill_at:
            killed.relays += _kill_relay(settings, whole_worker=options.whole_worker)
            kill_at += options.kill_every
        if elapsed >= redis_at:
            _kill(psutil.Process(_pid(settings, "redis")))
            redis_at = math.inf
        for load in loads.values():
            load.ended = load.tally.accepted  # nobody waits for their ends here
        time.sleep(LOOK_EVERY_S)
    over.set()
    watching.join()
    return killed, list(loads.values())


def _send(settings: Settings, tenant: str, load: Load, rate: float, seconds: float) -> None:
    count = round(rate * seconds)
    orders = city.orders(city.city(ground.SEED), count, failure_rate=FAILING)
    with Journal(settings.home / "journals" / f"{tenant}.jsonl") as journal:
        load.run(orders, Schedule(arrivals.evenly(count, rate=rate)), journal)


def _watch_redis(settings: Settings, killed: Killed, over: threading.Event) -> None:
    """Note from when to when it does not answer, from one answer to the next."""
    client = redis.Redis.from_url(
        settings.events_url.get_secret_value(), socket_timeout=0.5, socket_connect_timeout=0.5
    )
    answered = time.time()
    missed = False
    while not over.wait(LOOK_EVERY_S):
        try:
            client.ping()
        except redis.RedisError:
            missed = True
            continue
        now = time.time()
        if missed:
            killed.away.append((answered, now))
        answered, missed = now, False


def _kill_relay(settings: Settings, *, whole_worker: bool) -> int:
    """:return: how many were killed; none while there is none"""
    with suppress(psutil.NoSuchProcess, StopIteration):
        worker = psutil.Process(_pid(settings, RELAY))
        family = worker.children()
        for process in (worker, *family) if whole_worker else family:
            _kill(process)
        return 1
    return 0


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _pid(settings: Settings, name: str) -> int:
    """:raises StopIteration: if it does not run now"""
    return next(row.pid for row in running.rows(settings) if row.name == name and row.pid)


def _rest(settings: Settings, db: Engine, journals: dict[str, Path], hooks: Sequence[str]) -> Report:
    """The first audit that finds nothing, or the last one within the patience."""
    end = time.monotonic() + REST_WITHIN_S
    promises = sorted((settings.home / "journals").glob("*.jsonl"))
    while True:
        with db.connect() as connection:
            at_rest = connection.execute(_AT_REST, {"hooks": hooks}).scalar_one()
        late = time.monotonic() > end
        if at_rest or late:
            report = audit(settings, promises, consumed=journals, settled=True)
            if report.clean or late:
                return report
        time.sleep(1.0)


def _figures(
    db: Engine, journals: dict[str, Path], hooks: dict[str, str], killed: Killed
) -> dict[str, dict[str, float]]:
    """By sink."""
    with db.connect() as connection:
        logged, for_hooks = connection.execute(
            _LOGGED, {"shop": SHOP, "told": [str(each) for each in TOLD]}
        ).one()
    posted = [journals[webhook] for webhook in hooks.values()]
    return {
        "redis-stream": _sink([journals["redis-stream"]], logged, killed),
        "kafka": _sink([journals["kafka"]], logged, killed),
        "webhooks": _sink(posted, for_hooks * len(hooks), killed),
    }


def _sink(journals: Sequence[Path], wanted: int, killed: Killed) -> dict[str, float]:
    """
    What these consumers have heard; when, in seconds after the beginning, the late ones among it were written.

    :param wanted: events that they should have heard, all together
    """
    took_s: list[float] = []
    late: list[float] = []
    times = 0
    for journal in journals:
        heard: dict[str, float] = {}
        for line in journal.read_bytes().splitlines():
            event = json.loads(line)
            times += 1
            if event["id"] not in heard:
                written = datetime.fromisoformat(event["time"]).timestamp()
                heard[event["id"]] = event["heard"] - written - killed.away_s(written, event["heard"])
                if heard[event["id"]] > PROMPT_S:
                    late.append(written - killed.began)
        took_s += heard.values()
    took_s.sort()
    return {
        "of": wanted,
        "delivered": len(took_s),
        "duplicates": times - len(took_s),
        "share_within_5s": round(sum(each <= PROMPT_S for each in took_s) / max(wanted, 1), 6),
        "late_from_s": round(min(late, default=0), 1),
        "late_until_s": round(max(late, default=0), 1),
        "p50_s": _percentile(took_s, 0.5),
        "p99_s": _percentile(took_s, 0.99),
        "max_s": _percentile(took_s, 1.0),
    }


def _percentile(ascending: Sequence[float], share: float) -> float:
    """The nearest rank."""
    return round(ascending[max(0, math.ceil(share * len(ascending)) - 1)], 3) if ascending else math.nan


if __name__ == "__main__":
    sys.exit(main())
