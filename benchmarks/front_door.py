"""
CPU of the API per accepted order, by a platform that runs (`UOOP_SHED_ABOVE_MS` high, so that nothing is shed):

    python -m benchmarks.front_door --posts 6000

Orders of five items come over 32 kept-alive connections, all by one key. What is told is the CPU of all API
processes together, user and system, over the number of answers. Compare two versions in turns on one machine: the
figure moves by a tenth with what else runs there.
"""

import argparse
import json
import socket
import sys
import threading
import time
from collections import Counter

import psutil

from infra import running
from infra.settings import Settings

CONNECTIONS = 32
ROUNDS = 3  # the first warms up
ORDER = json.dumps(
    {
        "customer_id": "customer-118",
        "restaurant_id": "restaurant-42",
        "items": [
            {"sku": f"sku-{n}", "name": "Chicken machboos", "quantity": 1, "unit_price": "1.000"}
            for n in range(5)
        ],
        "delivery_location": {"lat": 26.2285, "lng": 50.586, "address": "Building 12, Road 2803, Manama"},
        "total_amount": "5.000",
        "currency": "BHD",
    }
).encode()


def cpu_s(pid: int) -> float:
    """User and system time of a process and all below it."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in family)


def post(port: int, token: str, name: str, count: int, statuses: list[int]) -> None:
    """Send that many orders, each when the one before was answered."""
    with socket.create_connection(("127.0.0.1", port)) as link, link.makefile("rb") as answers:
        for n in range(count):
            head = (
                "POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {token}\r\nIdempotency-Key: {name}-{n}\r\nContent-Length: {len(ORDER)}\r\n\r\n"
            )
            link.sendall(head.encode() + ORDER)
            statuses.append(int(answers.readline().split()[1]))
            length = 0
            while (line := answers.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answers.read(length)


def main() -> None:
    """Measure, and print a line for each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=6000)
    posts = parser.parse_args().posts
    settings = running.connected(Settings.load())
    token = (settings.home / "api-key").read_text().strip()
    (api,) = (row for row in running.rows(settings) if row.name == "api")
    for _ in range(ROUNDS):
        statuses: list[int] = []
        before, since = cpu_s(api.pid or 0), time.monotonic()
        threads = [
            threading.Thread(
                target=post,
                args=(settings.port, token, f"{time.time_ns()}-{n}", posts // CONNECTIONS, statuses),
            )
            for n in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spent_us = (cpu_s(api.pid or 0) - before) / len(statuses) * 1e6
        rate = len(statuses) / (time.monotonic() - since)
        answered = dict(Counter(statuses))
        sys.stdout.write(f"{spent_us:.0f} us CPU an order, {rate:.0f}/s, {answered}\n")


if __name__ == "__main__":
    main()
