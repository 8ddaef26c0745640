"""What the front door costs: identity, limits, validation and idempotency; and who waits beside."""

import asyncio
import math
import multiprocessing
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from statistics import median, quantiles
from typing import Any

from benchmarks import ground, sending, stores
from benchmarks.figures import milliseconds
from benchmarks.ground import Ground
from benchmarks.pages import Section, table
from benchmarks.parts.accept import NEVER_SHED_MS
from benchmarks.sending import Sent
from infra import kept, stack
from infra.supervisor import readiness

TITLE = "The front door"
TURNS, TURN_S = 20, 1.5  # short, and each pair in the other order, so that both find the machine as fast
ROUNDS, SECONDS, WARM_UP_S = 3, 10.0, 4.0
PER_S, BESIDE_WAITING_PER_S = 1_500.0, 500.0
LOADS: dict[str, float | None] = {"at saturation": None, f"at {PER_S:,.0f} a second": PER_S}
WAITING, WAIT_S, SETTLED_AFTER_S = 1_000, 30, 3.0
ENOUGH = 0.99  # who has just been answered does not wait for a moment
BARE = "api without a door"
_GROUPS = ("API", "Postgres", "Redis")
_WAITING = re.compile(rb"^uoop_waiting_clients ([0-9.]+)$", re.MULTILINE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def measure(scale: float) -> dict[str, Any]:
    with ground.platform(shed_above_ms=NEVER_SHED_MS) as running, _bare(running) as bare:
        for each in (running, bare):
            sending.answered(each, WARM_UP_S * scale, rate=PER_S)
        running.settle()
        running.rest("worker-control")  # who claims
        rounds = max(3, round(ROUNDS * scale))
        turns = max(4, round(TURNS * scale))
        doors = {
            load: _added([_doors(running, bare, rate, first=n % 2) for n in range(turns)])
            for load, rate in LOADS.items()
        }
        waits = [_waits(running, SECONDS * scale) for _ in range(rounds)]
    p99_ms = {who: round(median(each[who] for each in waits), 1) for who in waits[0]}
    few = min(each["waiting"] for each in waits)
    return {
        "doors": doors,
        "p99_ms": p99_ms,
        "grows_percent": round((p99_ms["beside"] / p99_ms["alone"] - 1) * 100, 1),
        "rounds_p99_ms": waits,
        "broken": [f"only {few} clients waited"] if few < ENOUGH * WAITING else [],
    }


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    p99 = found["p99_ms"]
    rows: list[list[object]] = []
    for load, each in found["doors"].items():
        cpu, (low, _, high) = each["cpu_us"], quantiles(each["rounds_add_us"])
        rows += [
            [f"{load}: {group}", bare, door, round(door - bare, 1)]
            for group, bare, door in ((group, cpu["bare"][group], cpu["door"][group]) for group in _GROUPS)
        ]
        half = f"half of the turns between {low:.0f} and {high:.0f}"
        rows.append([f"**{load}: median of the turns' sums**", "", "", f"**{each['adds_us']}** ({half})"])
    turns = len(next(iter(found["doors"].values()))["rounds_add_us"])
    return Section(
        "Single POSTs, claims paused, in turns by two API processes on one "
        "platform: ours, and one in which nobody is asked who he is and how much he may, an order may contradict "
        "itself, and no key is kept. Both read the request, decode the order, commit in groups and answer 202. CPU, "
        f"µs a request, medians of {turns} turns; what is evenly spaced costs more, since a process is woken for it "
        "more often.\n\n"
        + table(["", "without the door", "with it", "it adds"], rows)
        + f"\nPOSTs at {BESIDE_WAITING_PER_S:,.0f} a second, while {WAITING:,} other clients wait for orders that stay "
        f"as they are (`Prefer: wait={WAIT_S}`, asked again when it ends): p99 {p99['alone']} ms without them, "
        f"{p99['beside']} ms with them, **{found['grows_percent']} %** more; medians of "
        f"{len(found['rounds_p99_ms'])} rounds, in turns.\n"
    )


def _added(doors: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """What the door adds, in the median of the turns."""
    adds_us = [round(sum(each["door"].values()) - sum(each["bare"].values()), 1) for each in doors]
    return {
        "cpu_us": {
            side: {group: round(median(each[side][group] for each in doors), 1) for group in _GROUPS}
            for side in doors[0]
        },
        "adds_us": round(median(adds_us), 1),
        "rounds_add_us": adds_us,
    }


def _doors(running: Ground, bare: Ground, rate: float | None, *, first: int) -> dict[str, dict[str, float]]:
    """CPU by side of the comparison; the one with the door is sent to first if `first` is 1."""
    sides = {"bare": (bare, BARE), "door": (running, "api")}
    return {
        side: _cpu_us(sending.answered(served, TURN_S, rate=rate), api=api)
        for side, (served, api) in sorted(sides.items(), reverse=bool(first))
    }


def _cpu_us(sent: Sent, *, api: str) -> dict[str, float]:
    names = zip(_GROUPS, (api, "postgres", "redis"), strict=True)
    return {group: sent.meter.spent.get(name, 0.0) / len(sent.promises) * 1e6 for group, name in names}


def _waits(running: Ground, seconds: float) -> dict[str, float]:
    """p99 of POSTs in milliseconds, and how many clients waited at the end."""
    alone = sending.answered(running, seconds, rate=BESIDE_WAITING_PER_S)
    with _clients_waiting(running, [promise.id for promise in alone.promises]):
        beside = sending.answered(running, seconds, rate=BESIDE_WAITING_PER_S)
        waiting = _waiting(running)
    return {
        "alone": milliseconds(alone.answers_s)["p99_ms"] or math.inf,
        "beside": milliseconds(beside.answers_s)["p99_ms"] or math.inf,
        "waiting": waiting,
    }


@contextmanager
def _clients_waiting(running: Ground, ids: list[str]) -> Iterator[None]:
    asks = (running.settings.port, running.token, ids)
    clients = multiprocessing.get_context("spawn").Process(target=_keep_waiting, args=asks, daemon=True)
    clients.start()
    try:
        stores.until(lambda: _waiting(running) >= WAITING)
        time.sleep(SETTLED_AFTER_S)  # they have a place before they have read what they wait for
        yield
    finally:
        clients.terminate()
        clients.join()
    stores.until(lambda: _waiting(running) == 0)


def _waiting(running: Ground) -> int:
    """Clients that wait, as the platform counts them."""
    with closing(HTTPConnection(running.settings.host, running.settings.port, timeout=30)) as connection:
        connection.request("GET", "/metrics")
        found = _WAITING.search(connection.getresponse().read())
    return int(float(found[1])) if found else 0


def _keep_waiting(port: int, token: str, ids: list[str]) -> None:
    asyncio.run(_all_waiting(port, token, ids))


async def _all_waiting(port: int, token: str, ids: list[str]) -> None:
    async with asyncio.TaskGroup() as clients:
        for n in range(WAITING):
            clients.create_task(_client(n, port, token, ids[n % len(ids)]))


async def _client(n: int, port: int, token: str, order_id: str) -> None:
    """Ask again whenever there is an answer; each comes in and first goes out at another moment, as strangers do."""
    await asyncio.sleep(n / WAITING)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wait_s = 1 + n % WAIT_S
    while True:
        asked = f"GET /v1/orders/{order_id} HTTP/1.1\r\nHost: x\r\nPrefer: wait={wait_s}\r\n"
        writer.write(f"{asked}Authorization: Bearer {token}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(_LENGTH.search(head)[1]))  # type: ignore[index]
        wait_s = WAIT_S


@contextmanager
def _bare(running: Ground) -> Iterator[Ground]:
    """The same platform by the API without a door, which runs beside the other."""
    home = kept.folder(running.settings.home / "bare")
    chosen = running.settings.with_values(port=kept.port(home, "api"))
    command = (sys.executable, "-m", "infra.http_server", "benchmarks.bare.api:hot_lane")
    counters = {"PROMETHEUS_MULTIPROC_DIR": str(kept.folder(home / "metrics"))}
    env = stack.bare_environment() | chosen.environment() | counters
    with stores.process(command, home / "log", signal.SIGTERM, env) as process:
        stores.until(lambda: readiness.http_ok(chosen.host, chosen.port, "/readyz"))
        yield replace(running, settings=chosen, beside={**running.beside, BARE: process.pid})
