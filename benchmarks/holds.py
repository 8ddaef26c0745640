"""
Holds per second: `python -m benchmarks.holds`.

Reserves cohorts of 1, 100 and 1,000 orders in the ledger of a Redis of its own, over 50 kitchens, one client after
the other, so that client and Redis share what one core does: both CPU times are counted together. Then the same with a
place in a zone beside, and releases. Prints holds per second of CPU.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import redis

from app.capacity.ledger import Ledger
from app.capacity.model import NO_LIMIT, Hold
from infra.embedded import redis as embedded

KITCHENS = 50
HOLDS = 20_000
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def main() -> int:
    """Exit status 0 if all were held."""
    home = Path(tempfile.mkdtemp(prefix="uoop-holds-")).resolve()
    server = embedded.prepare(home)
    process = subprocess.Popen(server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        embedded.wait_ready(server.url, 30)
        with redis.Redis.from_url(f"{server.url}/2") as client:
            return _measure(client, psutil.Process(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        shutil.rmtree(home)


def _measure(client: "redis.Redis", server: psutil.Process) -> int:
    ledger, all_held = Ledger(client), True
    for size in (1, 100, 1000):
        for zoned in (False, True):
            client.flushdb()
            ledger.load([], [], epoch=1)
            cohorts = _cohorts(size, HOLDS if size > 1 else HOLDS // 10, zoned=zoned)
            held = _per_cpu_s(server, cohorts, lambda cohort: ledger.reserve(cohort, epoch=1, now=NOW))
            all_held &= sum(ledger.counts(epoch=1, now=NOW).values()) == len(cohorts) * size * (1 + zoned)
            given_back = _per_cpu_s(server, cohorts, lambda cohort: ledger.release(cohort, epoch=1, now=NOW))
            all_held &= not ledger.counts(epoch=1, now=NOW)
            kind = "kitchen and zone" if zoned else "kitchen"
            sys.stdout.write(
                f"cohorts of {size:5} {kind:17} {held:8.0f} holds {given_back:8.0f} releases per core and second\n"
            )
    return 0 if all_held else 1


def _cohorts(size: int, holds: int, *, zoned: bool) -> list[list[Hold]]:
    until = NOW + timedelta(seconds=1200)
    more = (("zone:default/north/0", NO_LIMIT),) if zoned else ()
    return [
        [
            Hold(n, f"0193{n:032}", f"default/kitchen-{n % KITCHENS}/0", NO_LIMIT, until, more)
            for n in range(start, start + size)
        ]
        for start in range(0, holds, size)
    ]


def _per_cpu_s(
    server: psutil.Process, cohorts: Sequence[list[Hold]], call: Callable[[list[Hold]], object]
) -> float:
    began = _cpu_s(server)
    for cohort in cohorts:
        call(cohort)
    return sum(map(len, cohorts)) / (_cpu_s(server) - began)


def _cpu_s(server: psutil.Process) -> float:
    told = server.cpu_times()
    return float(time.process_time() + told.user + told.system)


if __name__ == "__main__":
    sys.exit(main())
