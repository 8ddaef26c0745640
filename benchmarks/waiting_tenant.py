"""
What a tenant with 100,000 waiting orders costs a tenant with one: `python -m benchmarks.waiting_tenant`.

Starts a platform of its own in which nobody is turned away. One tenant sends single orders, first alone, then
while another has that many waiting, sent in batches. Exits 1 if the median rose by half a second or more.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection

from sqlalchemy import Engine, text

from benchmarks import ground, sending
from benchmarks.ground import Ground
from infra.demo import city

ALLOWED_RISE_S = 0.5
IN_A_BATCH = 1000
SENDERS = 4
EVERY_S = 0.5
END_WITHIN_S = 60.0
NOBODY_IS_SHED_MS = 3_600_000

_WAITING = text("SELECT count(*) FROM runs WHERE tenant_id = :tenant AND state = 'w'")


def main() -> int:
    """Exit status 0 if it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--waiting", type=int, default=100_000, help="orders of the other tenant")
    parser.add_argument("--singles", type=int, default=20, help="orders sent each time")
    options = parser.parse_args()
    with ground.platform(flower=False, shed_above_ms=NOBODY_IS_SHED_MS) as running:
        db = running.engine
        small, large = (running.admit(name) for name in ("small", "large"))
        alone = _singles(running, small, options.singles)
        _fill(running, large, options.waiting)
        before = _waiting(db, "large")
        beside = _singles(running, small, options.singles)
        figures = [_figures(alone), _figures(beside)]
        told = {
            "waiting_before": before,
            "waiting_after": _waiting(db, "large"),
            "alone": figures[0],
            "beside": figures[1],
            "load_average": os.getloadavg()[0],
        }
    rise_s = figures[1]["p50_s"] - figures[0]["p50_s"]
    sys.stdout.write(json.dumps({**told, "rise_s": round(rise_s, 3)}) + "\n")
    return 0 if rise_s < ALLOWED_RISE_S and None not in beside else 1


def _singles(running: Ground, token: str, count: int) -> list[float | None]:
    """Send orders one by one; seconds from acceptance to confirmation."""
    since, settings = datetime.now(UTC), running.settings
    for order in city.orders(running.city, count):
        connection = HTTPConnection(settings.host, settings.port, timeout=30)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        keyed = {**headers, "Idempotency-Key": f"single-{time.monotonic_ns()}"}
        connection.request("POST", "/v1/orders", order.body, keyed)
        answer = connection.getresponse()
        if answer.status != 202:
            raise RuntimeError(f"the API answered {answer.status}")
        connection.close()
        time.sleep(EVERY_S)
    return sending.took_s(running, since, datetime.now(UTC), within_s=END_WITHIN_S, tenant="small")


def _fill(running: Ground, token: str, wanted: int) -> None:
    """Send batches until so many wait: faster than they are done."""
    orders, settings = city.orders(running.city, 10**7), running.settings
    lock, full = threading.Lock(), threading.Event()

    def batches() -> Iterator[bytes]:
        while not full.is_set():
            with lock:
                some = [next(orders) for _ in range(IN_A_BATCH)]
            keyed = b",".join(
                b'{"idempotency_key":"large-%d-%d","order":%b}' % (time.monotonic_ns(), n, order.body)
                for n, order in enumerate(some)
            )
            yield b'{"orders":[' + keyed + b"]}"

    def send() -> None:
        connection = HTTPConnection(settings.host, settings.port, timeout=120)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        for body in batches():
            connection.request("POST", "/v1/orders/batch", body, headers)
            connection.getresponse().read()
        connection.close()

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        while _waiting(running.engine, "large") < wanted and all(sender.is_alive() for sender in senders):
            time.sleep(0.5)
    finally:
        full.set()
        for sender in senders:
            sender.join()


def _waiting(db: Engine, tenant: str) -> int:
    with db.begin() as connection:
        return int(connection.execute(_WAITING, {"tenant": tenant}).scalar_one())


def _figures(took: list[float | None]) -> dict[str, float]:
    known = [each for each in took if each is not None]
    return {
        "orders": len(took),
        "unconfirmed": took.count(None),
        "p50_s": round(statistics.median(known), 3),
        "max_s": round(max(known), 3),
    }


if __name__ == "__main__":
    sys.exit(main())
