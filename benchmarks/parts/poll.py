"""Status reads that name the version they know: of orders that stand still, and of orders that move."""

import random
import re
import threading
from collections.abc import Mapping
from typing import Any

from benchmarks import figures, ground, sending
from benchmarks.ground import Ground
from benchmarks.hammer import Hammered, hammer
from benchmarks.pages import Section, by_process, table

TITLE = "Polling with ETag"
SECONDS, CONNECTIONS = 12.0, 64
ORDERS, BESIDE_PER_S = 1_000, 100.0

_ETAG = re.compile(rb"\r\netag: *([^\r]+)", re.IGNORECASE)


def measure(scale: float) -> dict[str, Any]:
    with ground.platform() as running:
        sent = sending.at_rate(running, ORDERS / 4, 4.0)
        known = [promise.id for promise in sent.promises]
        still = _poll(running, known, SECONDS * scale, new_per_s=0.0)
        moving = _poll(running, known, SECONDS * scale, new_per_s=BESIDE_PER_S)
    return {"still": still, "moving": moving}


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    named = {
        "all CONFIRMED": found["still"],
        f"with {BESIDE_PER_S:.0f} new orders/s, polled too": found["moving"],
    }
    rows = [
        [name, told["rps"], told["p50_ms"], told["p99_ms"], f"{told['hit_rate']:.1%}"]
        for name, told in named.items()
    ]
    return Section(
        f"`GET /v1/orders/{{tracking_id}}` with `If-None-Match` over {CONNECTIONS} connections, of {ORDERS:,} orders "
        "by chance; a hit is a 304.\n\n"
        + table(["orders", "reads/s", "p50 ms", "p99 ms", "hits"], rows)
        + "\n"
        + by_process({name: told["cpu_us"] for name, told in named.items()}, "µs a read")
    )


def _poll(running: Ground, ids: list[str], seconds: float, *, new_per_s: float) -> dict[str, Any]:
    polled = list(ids)
    etags: dict[str, bytes] = {}
    chance = random.Random(ground.SEED)  # noqa: S311 - which order is asked for
    head = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.token}\r\n"

    first = iter(ids)

    def ask() -> tuple[object, bytes]:
        id = next(first, None) or polled[int(chance.random() * len(polled))]
        condition = b"If-None-Match: %b\r\n" % etags[id] if id in etags else b""
        return id, f"GET /v1/orders/{id} {head}".encode() + condition + b"\r\n"

    def answered(id: object, status: int, head: bytes, _body: bytes) -> None:
        if status == 200 and (found := _ETAG.search(head)):
            etags[str(id)] = found[1]

    while len(etags) < len(ids):  # every version is known before we count
        hammer(running.settings.port, ask, seconds=0.5, connections=CONNECTIONS, answered=answered)
    beside = threading.Thread(target=_submit, args=(running, new_per_s, seconds, polled), daemon=True)
    with running.meter() as meter:
        if new_per_s:
            beside.start()
        told = hammer(running.settings.port, ask, seconds=seconds, connections=CONNECTIONS, answered=answered)
    if new_per_s:
        beside.join()
    return _figures(told) | {"cpu_us": meter.per(len(told.took_s), 1e6)}


def _submit(running: Ground, rate: float, seconds: float, polled: list[str]) -> None:
    sending.answered(running, seconds, rate=rate, promised=lambda promise: polled.append(promise.id))


def _figures(told: Hammered) -> dict[str, Any]:
    return {
        "rps": round(told.per_s, 1),
        **figures.milliseconds(told.took_s),
        "hit_rate": round(told.statuses[304] / told.statuses.total(), 4),
        "statuses": {str(status): count for status, count in sorted(told.statuses.items())},
    }
