"""Acceptance alone: single POSTs with everything on, claims paused."""

from collections.abc import Mapping
from typing import Any

from benchmarks import ground, sending, wrk
from benchmarks.figures import milliseconds
from benchmarks.pages import Section, by_process, table
from benchmarks.sending import Sent

TITLE = "Accepting orders"
SATURATED_S, AT_70_S, WRK_S, WARM_UP_S = 15.0, 30.0, 10.0, 4.0
NEVER_SHED_MS = 3_600_000


def measure(scale: float) -> dict[str, Any]:
    with ground.platform(shed_above_ms=NEVER_SHED_MS) as running:
        sending.answered(running, WARM_UP_S * scale)
        running.settle()
        running.rest("worker-control")  # who claims
        full = sending.answered(running, SATURATED_S * scale)
        rps = len(full.promises) / full.sent_for_s
        part = sending.answered(running, AT_70_S * scale, rate=0.7 * rps)
        beside = wrk.accepted(running, WRK_S * scale)
    return {"saturated": _figures(full), "at_70_percent": _figures(part), "wrk": beside}


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    full, part = found["saturated"], found["at_70_percent"]
    rows = [[name, f["rps"], f["p50_ms"], f["p99_ms"], f["shed"]] for name, f in _named(full, part)]
    if beside := found.get("wrk"):
        wrk_named = f"at saturation by wrk, one thread, {beside['cpu_us']} µs of CPU a request"
        rows.append([wrk_named, *(beside[name] for name in ("rps", "p50_ms", "p99_ms", "not_2xx"))])
    return Section(
        f"Single `POST /v1/orders` over {sending.CONNECTIONS} kept-alive connections, each with authentication, rate "
        "limits, validation, idempotency and a durable commit before the 202, and its event relayed. **Claims are "
        "paused** (the worker that claims rests), so that nothing else is done with the orders. At 70 % the loop is "
        "open: every request has its moment, and latency counts from that.\n\n"
        + table(["", "requests/s", "p50 ms", "p99 ms", "turned away"], rows)
        + "\n"
        + by_process({name: f["cpu_us"] for name, f in _named(full, part)}, "µs a request")
    )


def _named(full: dict[str, Any], part: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("at saturation", full), ("at 70 % of it", part)]


def _figures(sent: Sent) -> dict[str, Any]:
    return {
        "rps": round(len(sent.promises) / sent.sent_for_s, 1),
        "requests": len(sent.promises),
        **milliseconds(sent.answers_s),
        "sent_late_s": round(sent.tally.behind_s, 3),
        "shed": sent.tally.shed,
        "cpu_us": sent.meter.per(len(sent.promises), 1e6),
    }
