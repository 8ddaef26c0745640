"""
What is left of the goodput when three times as much comes: `python -m benchmarks.overload --seconds 60`.

Starts a platform of its own. First a closed loop finds what it can do; then an open loop sends three times that, each
order once. Goodput is what was accepted and confirmed within the bound. Exits 1 below 90 % of the capacity, or if
an accepted order was not confirmed.
"""

import argparse
import json
import math
import os
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import cycle

from sqlalchemy import Engine, text

from app.tenants.service import DEFAULT_TENANT
from benchmarks import stand
from benchmarks.open_loop import OpenLoop
from infra.demo import city
from infra.demo.journal import Journal
from infra.demo.load import Load
from infra.demo.pacing import Window
from infra.settings import Settings

ALLOWED_SHARE = 0.9
BODIES = 2000
END_WITHIN_S = 30.0
WINDOW = 1500  # orders under way: what is in the platform when it is full, at its latency of about a second
CALM_S = 3.0

_ENDED = text("SELECT count(*) FROM uoop_orders WHERE status <> 'PENDING'")


def main() -> int:
    """Exit status 0 if it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload")
    parser.add_argument("--times", type=float, default=3.0, help="how much more than the capacity comes")
    parser.add_argument("--in-time", type=float, default=2.0, help="seconds from acceptance to confirmation")
    parser.add_argument("--measure", type=float, default=20.0, help="seconds in which the capacity is found")
    options = parser.parse_args()
    with stand.platform() as settings:
        db, place = stand.engine(settings), city.city(stand.SEED)
        token = stand.tenant(db, place, DEFAULT_TENANT)
        capacity = _capacity(settings, db, place, token, options.measure)
        loop = OpenLoop(settings.host, settings.port, token)
        bodies = cycle([order.body for order in city.orders(place, BODIES)])
        since = datetime.now(UTC)
        sent = loop.run(
            bodies, rate=options.times * capacity, seconds=options.seconds, name=f"{since:%H%M%S%f}"
        )
        until = datetime.now(UTC)
        loop.close()
        took = stand.settled_s(db, DEFAULT_TENANT, since, until, within_s=END_WITHIN_S)
        db.dispose()
    goodput = _in_time(took, options.in_time) / options.seconds
    told = {
        "capacity_per_s": round(capacity),
        "sent_per_s": round(options.times * capacity),
        "goodput_per_s": round(goodput),
        "share": round(goodput / capacity, 3),
        "accepted": len(took),
        "unconfirmed": took.count(None),
        "p99_s": _percentile([each for each in took if each is not None], 0.99),
        "statuses": dict(sent.statuses),
        "lost": sent.lost,
        "unsent": sent.unsent,
        "sent_late_s": round(sent.behind_s, 3),
        "generator_us_per_request": round(sent.cpu_s / max(sent.statuses.total(), 1) * 1e6),
        "load_average": os.getloadavg()[0],
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 0 if goodput >= ALLOWED_SHARE * capacity and not told["unconfirmed"] else 1


def _capacity(settings: Settings, db: Engine, place: city.City, token: str, seconds: float) -> float:
    """Orders confirmed in a second while a full window is under way: in the second half of the time."""
    load = Load(settings.host, settings.port, token)
    counted: list[tuple[float, int]] = []
    with Journal(settings.home / "journals" / "capacity.jsonl") as journal:
        sending = threading.Thread(target=load.run, args=(city.orders(place, 10**6), Window(WINDOW), journal))
        sending.start()
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            with db.begin() as connection:
                load.ended = int(connection.execute(_ENDED).scalar_one())
            counted.append((now, load.ended))
            time.sleep(0.2)
        load.stopped = True
        sending.join()
    (since, first), (until, last) = counted[len(counted) // 2], counted[-1]
    time.sleep(CALM_S)
    return (last - first) / (until - since)


def _in_time(took: Sequence[float | None], bound_s: float) -> int:
    return sum(each is not None and each <= bound_s for each in took)


def _percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    ascending = sorted(values)
    return round(ascending[max(0, math.ceil(share * len(ascending)) - 1)], 3) if ascending else math.nan


if __name__ == "__main__":
    sys.exit(main())
