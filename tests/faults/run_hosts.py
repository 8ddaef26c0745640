"""
The platform on several hosts: `python tests/faults/run_hosts.py [--only silent|cut|scale] [--cores C] [--seconds S]`.

    silent  the host of Postgres loses its network in the middle of a session: who waits for it hears of it
    cut     a host of workers loses its network under load, and has it again: the other takes over what it had in its
            hands, and the audit is clean
    scale   orders a second with one host of workers and with two, each bound to a share of a core

Hosts are namespaces (`host_network.py`), for which we must be root. What was measured goes to
benchmarks/results/hosts.json, and into docs/scaling.md. Last line `hosts: N of N clean`; exit code 1 if not.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import host_platform
from fault_run import Fault, run
from fault_stack import NotReached, Stack, awaited
from host_network import host, make_switch
from host_platform import WORKERS, Several, several
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app import database
from benchmarks import blocks, figures, machine, performance, sending, stores
from infra.audit import audit
from sagas.fulfill_order import FULFILL_ORDER

OWN_NETWORK = "HOSTS_OWN_NETWORK"
RATE, CUT_ORDERS = 30.0, 2_400
SLOW_STEP, SLOW = FULFILL_ORDER.numbers["place-with-restaurant"], {"behavior": "slow", "seconds": 1.0}
TAKEN_OVER_WITHIN_S, BACK_WITHIN_S = 120.0, 180.0
WARM_UP_S = 5.0
HEARD_WITHIN_S = 2 * database.HOST_SILENT_S

_OPEN = "SELECT id FROM cohorts WHERE ended_at IS NULL"
_HELD = """
    SELECT e.cohort_id FROM executions e JOIN cohorts c ON c.id = e.cohort_id
    WHERE starts_with(e.executor, %s) AND e.finished_at IS NULL AND c.ended_at IS NULL
"""
_TAKEN_OVER = """
    SELECT count(DISTINCT cohort_id) FROM executions
    WHERE cohort_id = ANY(%s) AND epoch > 1 AND NOT starts_with(executor, %s)
"""
_PAUSE = """
    SELECT count(*), max(at - before)::float FROM (
        SELECT at, lag(at) OVER (ORDER BY at) AS before FROM (
            SELECT extract(epoch FROM updated_at) AS at FROM uoop_orders WHERE status = 'CONFIRMED'
            UNION ALL SELECT %s
        ) ends WHERE at BETWEEN %s AND %s
    ) gaps
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("silent", "cut", "scale"), default="", help="only this one")
    parser.add_argument("--cores", type=float, default=0.3, help="that a host of workers has, for scale")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load, for scale")
    chosen = parser.parse_args()
    if os.geteuid():
        print("hosts: not run: needs root")
        return 0
    if OWN_NETWORK not in os.environ:
        os.environ[OWN_NETWORK] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is stopped, however we end
    make_switch()
    kept = json.loads(blocks.HOSTS.read_text()) if blocks.HOSTS.exists() else {}
    clean = []
    for name, measure in (
        ("silent", _silent),
        ("cut", _cut),
        ("scale", lambda: _scale(chosen.cores, chosen.seconds)),
    ):
        if chosen.only in ("", name):
            before = machine.described()
            found = measure()
            clean.append(not found["broken"])
            print(f"{name}: {json.dumps(found)}", flush=True)
            kept[name] = {"command": f"make hosts ({' '.join(sys.argv)})", "machine": before, "found": found}
    blocks.HOSTS.write_text(json.dumps(kept, indent=1) + "\n")
    performance.fill()
    print(f"hosts: {sum(clean)} of {len(clean)} clean")
    return 0 if all(clean) else 1


def _silent() -> dict[str, Any]:
    with stores.folder("silent") as folder, host("data", 2) as data:
        engine = database.engine(host_platform.stores(data, folder)["database_url"], pool_size=1)
        back = threading.Timer(HEARD_WITHIN_S, data.heal)  # ends the waiting of a session that has not heard
        with engine.connect() as connection:
            connection.execute(text("SELECT"))
            began = time.monotonic()
            data.cut()
            back.start()
            with suppress(OperationalError):
                connection.execute(text("SELECT"))
            heard_after_s = time.monotonic() - began
            back.cancel()
            connection.invalidate()
        engine.dispose()
    late = heard_after_s >= HEARD_WITHIN_S
    return {"heard_after_s": round(heard_after_s, 1), "broken": ["not heard of"] if late else []}


def _cut() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with several() as hosts:
        for worker in WORKERS:
            hosts.start(worker)

        def inject(stack: Stack) -> None:
            found.update(_cut_off(hosts, stack))

        fault = Fault(name="a host of workers cut off", inject=inject, orders=CUT_ORDERS, rate=RATE)
        result = run(Stack(hosts.settings, hosts.settings), fault)
    print(result.line, flush=True)
    return found | {"caught_up_s": result.caught_up_s, "broken": result.broken}


def _cut_off(hosts: Several, stack: Stack) -> dict[str, Any]:
    """Cut the second host off with work in its hands, until all of that has ended elsewhere; then heal it."""
    name = WORKERS[1]
    victim, executors = hosts.workers[name], f"{name}:"
    stack.tell_providers(["kitchens"], SLOW)  # whoever executes does so for a while
    awaited(lambda: stack.sql(f"{_HELD} AND e.step = %s", executors, SLOW_STEP), f"work of {name}")
    victim.cut()
    try:
        began = time.time()
        held = {cohort for (cohort,) in stack.sql(_HELD, executors)}
        if not held:
            raise NotReached(f"{name} had nothing in its hands")
        under_way = held | {cohort for (cohort,) in stack.sql(_OPEN)}
        awaited(
            lambda: not under_way & {cohort for (cohort,) in stack.sql(_OPEN)},
            "an end of what was under way",
            TAKEN_OVER_WITHIN_S,
        )
        over = time.time()
        ((taken_over,),) = stack.sql(_TAKEN_OVER, sorted(held), executors)
        ((confirmed, pause_s),) = stack.sql(_PAUSE, began, began, over)
    finally:
        stack.tell_providers(["kitchens"], None)
        victim.heal()
    healed = time.time()
    since = "e.started_at > to_timestamp(%s)"
    awaited(
        lambda: stack.sql(
            f"SELECT 1 FROM executions e WHERE starts_with(e.executor, %s) AND {since}", executors, healed
        ),
        f"new work of {name}",
        BACK_WITHIN_S,
    )
    if taken_over < len(held):
        raise NotReached(f"only {taken_over} of {len(held)} cohorts that {name} held were taken over")
    return {
        "held": len(held),
        "under_way": len(under_way),
        "all_ended_after_s": round(over - began, 1),
        "confirmed_meanwhile": confirmed - 1,
        "longest_pause_s": round(pause_s or 0.0, 1),
        "works_again_after_s": round(time.time() - healed, 1),
    }


def _scale(cores: float, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {"cores": cores, "seconds": seconds}
    with several(can_be_bound=True) as hosts:
        journals = []
        for number, worker in enumerate(WORKERS, start=1):
            hosts.start(worker)
            hosts.workers[worker].bind(cores)
            sending.at_most(hosts, WARM_UP_S)
            sent = sending.at_most(hosts, seconds)
            journals.append(sent.path)
            found[str(number)] = {
                "orders_per_s": round(sent.ended_per_s(), 1),
                **figures.milliseconds(sent.waits_s),
                "cpu_ms": {
                    name: round(spent / len(sent.promises) * 1e3, 3)
                    for name, spent in sent.meter.spent.items()
                },
                "unended": sent.unended,
            }
        report = audit(hosts.settings, journals, settled=True)
    found["ratio"] = round(found["2"]["orders_per_s"] / found["1"]["orders_per_s"], 2)
    return found | {"broken": [finding.line for finding in report.violations]}


if __name__ == "__main__":
    sys.exit(main())
