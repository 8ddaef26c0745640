"""The optimizer: channels for a cohort, and the pool of the own fleet."""

import random
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from app.optimization.assign import assign
from app.optimization.model import Courier, Job, Partner, Point, Problem
from app.optimization.pool import model as pool
from app.optimization.pool.optimize import optimize
from benchmarks import figures, ground
from benchmarks.pages import Section, table
from infra.demo import city

TITLE = "Planning"
ROUNDS = 15
COHORTS = (1, 10, 100, 300, 1_000)
POOLS = (20, 60, 120, 300)
SPREAD_M, PACE = 2_500.0, pool.Pace(metres_per_min=350.0)
PARTNERS = (
    Partner(name="swift", base_fee=0.7, per_km=0.1, speed_m_per_s=320 / 60),
    Partner(name="falcon", base_fee=0.5, per_km=0.15, speed_m_per_s=380 / 60),
    Partner(name="dhow", base_fee=0.4, per_km=0.25, speed_m_per_s=250 / 60),
)
ALLOWED_MS = 500.0  # a plan is always there within that


def measure(scale: float) -> dict[str, Any]:
    rounds = max(3, round(ROUNDS * scale))
    found = {
        "cohorts": {str(size): _timed(_cohort, size, rounds) for size in COHORTS},
        "pools": {str(size): _timed(_pool, size, rounds) for size in POOLS},
    }
    slow = [
        f"{what} of {size}: a plan took {told['most_ms']} ms"
        for what, sizes in found.items()
        for size, told in sizes.items()
        if told["most_ms"] > ALLOWED_MS
    ]
    return {**found, "broken": slow}


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    named = {"cohorts": "channels of a cohort", "pools": "own fleet's pool, as many couriers"}
    rows = [
        [title, int(size), told["p50_ms"], told["most_ms"], told["cpu_ms"], told["cpu_ms"] / int(size)]
        for what, title in named.items()
        for size, told in found[what].items()
    ]
    return Section(
        "Generated problems in a city of five kilometres; the building of the model is counted. A cohort's plan takes "
        "partner, own courier or neither for each order; the pool's plan says who rides next with which bundle. After "
        f"{ALLOWED_MS:.0f} ms a plan stands in any case.\n\n"
        + table(["", "orders", "p50 ms", "most ms", "CPU ms", "CPU ms an order"], rows)
    )


def _timed(plan: Callable[[random.Random, int], object], size: int, rounds: int) -> dict[str, float]:
    chance = random.Random(f"{ground.SEED}:{size}")  # noqa: S311 - the same problems each time
    plan(chance, size)  # loads what it needs
    took_s, cpu_began = [], time.process_time()
    for _ in range(rounds):
        began = time.monotonic()
        plan(chance, size)
        took_s.append(time.monotonic() - began)
    cpu_s = time.process_time() - cpu_began
    return {
        "p50_ms": figures.rounded(median(took_s) * 1e3),
        "most_ms": figures.rounded(max(took_s) * 1e3),
        "cpu_ms": figures.rounded(cpu_s / rounds * 1e3),
    }


def _cohort(chance: random.Random, size: int) -> object:
    jobs = tuple(
        Job(
            run_id=n,
            tenant_id="default",
            pickup=_point(chance),
            dropoff=_point(chance),
            prep_s=60.0 * chance.randint(8, 20),
            wish=None,
        )
        for n in range(size)
    )
    couriers = tuple(
        Courier(id=f"rider-{n}", tenant_id="default", at=_point(chance), free=2) for n in range(150)
    )
    return assign(Problem(jobs=jobs, couriers=couriers, partners=PARTNERS))


def _pool(chance: random.Random, size: int) -> object:
    kitchens = [_spot(chance) for _ in range(max(1, size // 5))]
    orders = tuple(
        pool.Order(
            id=f"order-{n}",
            kitchen=f"kitchen-{kitchen}",
            pickup=kitchens[kitchen],
            door=_spot(chance),
            placed=-chance.random() * 10,
            ready=chance.random() * 15,
        )
        for n in range(size)
        for kitchen in (chance.randrange(len(kitchens)),)
    )
    couriers = tuple(
        pool.Courier(id=f"rider-{n}", at=_spot(chance), free_at=chance.random() * 20, off_at=300.0)
        for n in range(size)
    )
    return optimize(pool.Problem(now=0.0, orders=orders, couriers=couriers, pace=PACE))


def _point(chance: random.Random) -> Point:
    return Point(*city.position(chance.gauss(0, SPREAD_M), chance.gauss(0, SPREAD_M)))


def _spot(chance: random.Random) -> pool.Spot:
    return pool.Spot(chance.gauss(0, SPREAD_M), chance.gauss(0, SPREAD_M))
