"""
How often the status cache knows the answer under submit-and-poll: `python -m benchmarks.status_hits`.

Starts a platform of its own. Clients submit an order and ask for it at a fixed pace until some time after its
confirmation, as impatient clients do. Exits 1 at 90 % or below.
"""

import argparse
import json
import os
import re
import sys
import threading
import time
from collections import Counter
from http.client import HTTPConnection

from benchmarks import ground
from infra.demo import city
from infra.demo.city import Order
from infra.settings import Settings

WANTED = 0.9
_READS = re.compile(rb'uoop_status_cache_reads_total\{result="(\w+)"\} ([0-9.e+]+)')


def main() -> int:
    """Exit status 0 if it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--orders", type=int, default=5, help="of each client, one after another")
    parser.add_argument("--polls", type=int, default=30, help="of each order")
    parser.add_argument("--every", type=float, default=0.1, help="seconds between them")
    options = parser.parse_args()
    statuses: Counter[int] = Counter()
    with ground.platform(flower=False) as running:
        settings, token = running.settings, running.token
        orders = list(city.orders(running.city, options.clients * options.orders))
        before = _reads(settings)
        clients = [
            threading.Thread(
                target=_follow, args=(settings, token, orders[n :: options.clients], options, statuses)
            )
            for n in range(options.clients)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        reads = _reads(settings) - before
    rate = reads["hit"] / max(reads.total(), 1)
    told = {"hit_rate": round(rate, 4), "reads": dict(reads), "statuses": dict(statuses)}
    sys.stdout.write(json.dumps({**told, "load_average": os.getloadavg()[0]}) + "\n")
    return 0 if rate > WANTED else 1


def _follow(
    settings: Settings, token: str, orders: list[Order], options: argparse.Namespace, statuses: Counter[int]
) -> None:
    connection = HTTPConnection(settings.host, settings.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for order in orders:
        keyed = {**headers, "Idempotency-Key": f"{threading.get_ident()}-{time.monotonic_ns()}"}
        connection.request("POST", "/v1/orders", order.body, keyed)
        accepted = json.loads(connection.getresponse().read())
        for _ in range(options.polls):
            time.sleep(options.every)
            connection.request("GET", accepted["links"]["self"], headers=headers)
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
    connection.close()


def _reads(settings: Settings) -> "Counter[str]":
    """By result, of all API processes."""
    connection = HTTPConnection(settings.host, settings.port, timeout=30)
    connection.request("GET", "/metrics")
    metrics = connection.getresponse().read()
    connection.close()
    return Counter({name.decode(): round(float(count)) for name, count in _READS.findall(metrics)})


if __name__ == "__main__":
    sys.exit(main())
