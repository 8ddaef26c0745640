"""
The long form: kills and other faults at random for a given time, watched from outside once a second.

Four of five kills hit a pool child, the rest whole processes, each alike; now and then one of the table's other
faults comes too. All the while every partner fails one call in twenty.
"""

import random
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
from fault_actions import kill
from fault_probes import Probes
from fault_run import Fault, settled
from fault_stack import PROVIDERS, WORKERS, Stack, started

from infra.demo import arrivals, city
from infra.demo.pacing import Schedule
from infra.demo.play import Scene, Summary, play

RATE = 30.0
KILL_EVERY_S = 3.6  # a thousand in an hour
LEAST_PAUSE_S = 0.5
POOL_SHARE = 0.8
OTHER_EVERY = 60  # kills
PROCESSES = (*WORKERS, "api", "beat", "sandbox", "redis", "postgres")
FAILING = {"behavior": "fail", "share": 0.05}
SETTLED_WITHIN_S = 180.0

_ENDS = """
    SELECT count(*) FILTER (WHERE status = 'CONFIRMED'),
        count(*) FILTER (WHERE coalesce(failure ->> 'code', '') NOT IN ('payment-refused', 'capacity-full'))
    FROM uoop_orders WHERE customer_id NOT LIKE '%%/%%'
"""


def soak(minutes: float, others: list[Fault], *, seed: int) -> int:
    """Run, tell, and return the exit code: 0 if no promise was broken."""
    print(f"seed {seed}, {minutes:g} minutes", flush=True)
    counted: Counter[str] = Counter()
    orders = int(minutes * 60 * RATE)
    place = city.city(seed)
    scene = Scene(
        place.restaurants,
        place.couriers,
        city.orders(place, orders, failure_rate=0.05),
        Schedule(arrivals.evenly(orders, rate=RATE)),
    )
    over = threading.Event()
    with started() as stack:
        probes = Probes(stack)
        growth = [_grown(stack)]
        beside = [
            threading.Thread(target=probes.run),
            threading.Thread(target=_keep_failing, args=(stack, over)),
        ]
        harming = threading.Thread(
            target=_harm, args=(stack, minutes, others, random.Random(seed), counted), daemon=True
        )
        for thread in (*beside, harming):
            thread.start()
        try:
            summary, _ = play(stack.settings, scene, lambda _: None)
            harming.join()
        finally:
            over.set()
            probes.stop()
            for thread in beside:
                thread.join()
        stack.tell_providers(PROVIDERS, None)
        journals = sorted((stack.settings.home / "journals").glob("*.jsonl"))
        report = settled(stack, journals, within_s=SETTLED_WITHIN_S)
        ((confirmed, could),) = stack.sql(_ENDS)
        growth.append(_grown(stack))
    print(f"{dict(sorted(counted.items()))}")
    print(f"probes not answered at once: {dict(probes.refused)}; given up: {probes.given_up}")
    for finding in report.violations:
        print(finding.line)
    doubled_or_lost = report.lost, report.duplicates
    leaks = sum(finding.line.startswith("P6") for finding in report.violations)
    print(
        f"\n{_table(summary, counted, probes, growth, (*doubled_or_lost, leaks), confirmed / max(could, 1))}\n"
    )
    good = report.clean and summary.accepted == orders
    print(f"faults: {'1 of 1' if good else '0 of 1'} clean")
    return 0 if good else 1


def _table(
    summary: Summary,
    counted: Counter[str],
    probes: Probes,
    growth: list[tuple[float, float]],
    broken: tuple[int, int, int],
    success: float,
) -> str:
    """Markdown, to be pasted into docs/reliability.md."""
    kills = sum(number for name, number in counted.items() if name.startswith("kill"))
    of_children = sum(number for name, number in counted.items() if name.startswith("kill a child"))
    lost, doubled, leaks = broken
    made = max(probes.made, 1)
    (memory, disk), (memory_later, disk_later) = growth
    rows = (
        ("kills, of pool children", f"{kills}, {of_children}", "1,000 an hour, 80 %"),
        ("other faults", str(sum(counted.values()) - kills), ""),
        ("orders accepted, confirmed", f"{summary.accepted}, {summary.confirmed}", ""),
        ("undone or failed, parked", f"{summary.compensated + summary.failed}, {summary.parked}", ""),
        ("orders lost, effects doubled, findings on capacity", f"{lost}, {doubled}, {leaks}", "0, 0, 0"),
        ("probes from outside", str(probes.made), ""),
        ("answered with the retries that the API asks for", f"{probes.in_the_end / made:.4%}", "99.95 %"),
        ("answered at once", f"{probes.at_once / made:.4%}", ""),
        ("order success, every partner failing 5 % of its calls", f"{success:.4%}", "99.5 %"),
        ("order to its end, p50, p99", f"{summary.p50_s:.2f} s, {summary.p99_s:.2f} s", ""),
        ("memory of all processes before, after", f"{memory:.0f} MB, {memory_later:.0f} MB", ""),
        ("disk before, after", f"{disk:.0f} MB, {disk_later:.0f} MB", ""),
    )
    return "\n".join(
        ("| what | measured | target |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows))
    )


def _keep_failing(stack: Stack, over: threading.Event) -> None:
    """A sandbox that was killed has forgotten what it was told."""
    while not over.wait(1.0):
        with suppress(Exception):  # it may just be dead
            stack.tell_providers([name for name, told in stack.told().items() if told is None], FAILING)


def _grown(stack: Stack) -> tuple[float, float]:
    """Megabytes of memory that all processes take for themselves, and of disk."""
    memory = 0
    for process in stack.family("supervisor"):
        with suppress(psutil.Error):
            memory += process.memory_full_info().uss
    disk = 0
    for file in Path(stack.settings.home).rglob("*"):
        with suppress(OSError):
            disk += file.stat().st_blocks * 512
    return memory / 1e6, disk / 1e6


def _harm(
    stack: Stack, minutes: float, others: list[Fault], rng: random.Random, counted: Counter[str]
) -> None:
    """Kill at the rate, whatever else happens; what other faults take in time is made up for."""
    began = time.monotonic()
    for turn in range(int(minutes * 60 / KILL_EVERY_S)):
        time.sleep(max(LEAST_PAUSE_S, began + (turn + rng.random()) * KILL_EVERY_S - time.monotonic()))
        if turn % OTHER_EVERY == OTHER_EVERY - 1 and others:
            fault = rng.choice(others)
            with suppress(Exception):  # what it needs may just be dead
                fault.inject(stack)
                counted[fault.name] += 1
        with suppress(psutil.Error, ProcessLookupError):
            if rng.random() < POOL_SHARE:
                worker = rng.choice(WORKERS)
                rng.choice(stack.pool(worker)).kill()
                counted[f"kill a child of {worker}"] += 1
            else:
                name = rng.choice(PROCESSES)
                kill(name)(stack)
                counted[f"kill {name}"] += 1
