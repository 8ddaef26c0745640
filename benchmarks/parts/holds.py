"""Capacity held and given back in the ledger: CPU of client and Redis together, since they share what one core does."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from app.capacity.ledger import Ledger
from app.capacity.model import NO_LIMIT, Hold
from benchmarks import stores
from benchmarks.cpu import spent_s
from benchmarks.pages import Section, table
from infra.embedded import redis as embedded

TITLE = "Holding capacity"
KITCHENS = 50
HOLDS = 40_000
SIZES = (1, 100, 1_000)
HELD_FOR = timedelta(minutes=20)
FEWER_ALONE = 10  # a hold by itself takes ten times as long


def measure(scale: float) -> dict[str, Any]:
    with stores.folder("holds") as home:
        server = embedded.prepare(home)
        with stores.process(server.command, home / "redis.log", signal.SIGTERM) as process:
            embedded.wait_ready(server.url, 30)
            with redis.Redis.from_url(f"{server.url}/2") as client:
                rows = [
                    _measured(client, process.pid, size, round(HOLDS * scale), zoned=zoned)
                    for size in SIZES
                    for zoned in (False, True)
                ]
    wrong = [f"not all of {row['orders']} were held and given back" for row in rows if not row["exact"]]
    return {"rows": rows, "broken": wrong}


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    rows = [
        [row["size"], "kitchen and zone" if row["zoned"] else "kitchen", row["held"], row["released"]]
        for row in found["rows"]
    ]
    return Section(
        f"Over {KITCHENS} kitchens by one client, per second of CPU of client and Redis together.\n\n"
        + table(["orders in a cohort", "each holds at", "orders held", "released"], rows)
    )


def _measured(
    client: "redis.Redis", server: int, size: int, holds: int, *, zoned: bool
) -> dict[str, float | bool]:
    ledger, now = Ledger(client), datetime.now(UTC)  # holds expire by Redis' own clock
    client.flushdb()
    ledger.load([], [], epoch=1)
    cohorts = _cohorts(
        size, max(size, holds if size > 1 else holds // FEWER_ALONE), now + HELD_FOR, zoned=zoned
    )
    orders = len(cohorts) * size
    held = _per_cpu_s(server, cohorts, lambda cohort: ledger.reserve(cohort, epoch=1, now=now))
    exact = sum(ledger.counts(epoch=1, now=now).values()) == orders * (1 + zoned)
    released = _per_cpu_s(server, cohorts, lambda cohort: ledger.release(cohort, epoch=1, now=now))
    exact = exact and not ledger.counts(epoch=1, now=now)
    return {
        "size": size,
        "zoned": zoned,
        "orders": orders,
        "held": round(held),
        "released": round(released),
        "exact": exact,
    }


def _cohorts(size: int, holds: int, until: datetime, *, zoned: bool) -> list[list[Hold]]:
    more = (("zone:default/north/0", NO_LIMIT),) if zoned else ()
    return [
        [
            Hold(n, f"0193{n:032}", f"default/kitchen-{n % KITCHENS}/0", NO_LIMIT, until, more)
            for n in range(start, start + size)
        ]
        for start in range(0, holds - size + 1, size)
    ]


def _per_cpu_s(server: int, cohorts: Sequence[list[Hold]], call: Callable[[list[Hold]], object]) -> float:
    began = _cpu_s(server)
    for cohort in cohorts:
        call(cohort)
    return sum(map(len, cohorts)) / max(_cpu_s(server) - began, 0.01)


def _cpu_s(server: int) -> float:
    return spent_s(server) + sum(os.times()[:2])
