"""
The long form: kills and other faults at random for a given time, watched from outside once a second.

Four of five kills hit a pool child; now and then one of the table's other faults comes instead.
"""

import random
import threading
import time
from collections import Counter
from contextlib import suppress

import psutil
from fault_actions import kill
from fault_probes import Probes
from fault_run import Fault, settled
from fault_stack import WORKERS, Stack, started

from infra.demo import arrivals, city
from infra.demo.pacing import Schedule
from infra.demo.play import Scene, play

RATE = 30.0
KILL_EVERY_S = 3.4
POOL_SHARE = 0.8
OTHER_EVERY = 60  # kills
PROCESSES = (*WORKERS, "api", "beat", "sandbox", "redis", "postgres")


def soak(minutes: float, others: list[Fault], *, seed: int) -> int:
    """Run, tell, and return the exit code: 0 if no promise was broken."""
    counted: Counter[str] = Counter()
    orders = int(minutes * 60 * RATE)
    place = city.city(seed)
    scene = Scene(
        place.restaurants,
        place.couriers,
        city.orders(place, orders, failure_rate=0.05),
        Schedule(arrivals.evenly(orders, rate=RATE)),
    )
    with started() as stack:
        probes = Probes(stack)
        probing = threading.Thread(target=probes.run)
        harming = threading.Thread(
            target=_harm, args=(stack, minutes, others, random.Random(seed), counted), daemon=True
        )
        probing.start()
        harming.start()
        try:
            summary, _ = play(stack.settings, scene, lambda _: None)
            harming.join()
        finally:
            probes.stop()
            probing.join()
        report = settled(stack, sorted((stack.settings.home / "journals").glob("*.jsonl")))
    kills = sum(number for name, number in counted.items() if name.startswith("kill"))
    print(f"seed {seed}, {minutes:g} minutes, {kills} kills: {dict(sorted(counted.items()))}")
    print(
        f"{summary.accepted} accepted, {summary.confirmed} confirmed, {summary.compensated + summary.failed} failed, "
        f"{summary.parked} parked, {report.lost} lost, {report.duplicates} doubled; "
        f"p50 {summary.p50_s:.2f} s, p99 {summary.p99_s:.2f} s"
    )
    made = max(probes.made, 1)
    print(
        f"probes: {probes.made}, answered at once {probes.at_once / made:.4%}, "
        f"with retries {probes.in_the_end / made:.4%}"
    )
    for finding in report.violations:
        print(finding.line)
    good = report.clean and summary.good
    print(f"faults: {'1 of 1' if good else '0 of 1'} clean")
    return 0 if good else 1


def _harm(
    stack: Stack, minutes: float, others: list[Fault], rng: random.Random, counted: Counter[str]
) -> None:
    end = time.monotonic() + minutes * 60
    turn = 0
    while time.monotonic() < end:
        turn += 1
        if turn % OTHER_EVERY == 0 and others:
            fault = rng.choice(others)
            with suppress(Exception):  # what it needs may just be dead
                fault.inject(stack)
                counted[fault.name] += 1
        elif rng.random() < POOL_SHARE:
            worker = rng.choice(WORKERS)
            with suppress(psutil.Error):
                rng.choice(stack.pool(worker)).kill()
                counted[f"kill a child of {worker}"] += 1
        else:
            name = rng.choice(PROCESSES)
            with suppress(ProcessLookupError):
                kill(name)(stack)
                counted[f"kill {name}"] += 1
        time.sleep(rng.uniform(0, 2 * KILL_EVERY_S))
