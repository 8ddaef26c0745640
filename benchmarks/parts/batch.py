"""Orders submitted many at a time, claims paused."""

import json
from collections.abc import Mapping
from itertools import count, islice
from typing import Any

from benchmarks import figures, ground
from benchmarks.ground import Ground
from benchmarks.hammer import Hammered, hammer
from benchmarks.pages import Section, by_process, table
from benchmarks.parts.accept import NEVER_SHED_MS
from infra.demo import city

TITLE = "Submitting in batches"
SECONDS, WARM_UP_S, CONNECTIONS = 12.0, 2.0, 8
SIZES = (100, 1_000)


def measure(scale: float) -> dict[str, Any]:
    with ground.platform(shed_above_ms=NEVER_SHED_MS) as running:
        running.rest("worker-control")  # who claims
        _submit(running, SIZES[0], WARM_UP_S * scale)
        return {str(size): _submit(running, size, SECONDS * scale) for size in SIZES}


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    rows = [
        [int(size), told["orders_per_s"], told["p50_ms"], told["p99_ms"], told["refused"]]
        for size, told in found.items()
    ]
    return Section(
        f"`POST /v1/orders/batch` over {CONNECTIONS} connections; every order has its key and is durable before its "
        "202. **Claims are paused.**\n\n"
        + table(["orders in a batch", "orders/s accepted", "p50 ms", "p99 ms", "not accepted"], rows)
        + "\n"
        + by_process({f"batches of {size}": told["cpu_us"] for size, told in found.items()}, "µs an order")
    )


def _submit(running: Ground, size: int, seconds: float) -> dict[str, Any]:
    bodies = [order.body for order in islice(city.orders(running.city, size), size)]
    turn = count()
    accepted = refused = 0

    def ask() -> tuple[object, bytes]:
        return None, _request(running.token, f"{size}-{seconds}-{next(turn)}", bodies)

    def answered(_asked: object, status: int, _head: bytes, body: bytes) -> None:
        nonlocal accepted, refused
        found = [each["status"] for each in json.loads(body)["results"]] if status == 200 else [status] * size
        accepted += found.count(202)
        refused += len(found) - found.count(202)

    with running.meter() as meter:
        told: Hammered = hammer(
            running.settings.port, ask, seconds=seconds, connections=CONNECTIONS, answered=answered
        )
    return {
        "orders_per_s": round(accepted / told.wall_s, 1),
        "accepted": accepted,
        "refused": refused,
        **figures.milliseconds(told.took_s),
        "cpu_us": meter.per(accepted, 1e6),
    }


def _request(token: str, name: str, bodies: list[bytes]) -> bytes:
    each = (b'{"idempotency_key":"%b-%d","order":%b}' % (name.encode(), n, b) for n, b in enumerate(bodies))
    body = b'{"orders":[%b]}' % b",".join(each)
    return (
        f"POST /v1/orders/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
