"""
From a pool to its plan, in a bounded time and always feasible.

Two stages: the plan says who goes next and when he must leave at the latest; only what must go now is committed, the
rest is planned anew with what is known then.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np

from app.optimization.pool import bundles as bundling
from app.optimization.pool import columns, costs, matching, packing
from app.optimization.pool.bundles import Bundles
from app.optimization.pool.costs import Costs
from app.optimization.pool.model import Order, Plan, Problem, Status, Trip, Why
from app.optimization.pool.packing import Chosen

WITHIN_MS = 300.0  # for the packing
UNHURRIED_MS = 60_000.0  # the same plan on every machine
PACKED_AT_MOST = 160  # orders; more go the fast path
PLANNED_AT_MOST = 600  # orders in one plan
RIDE_MAY_BE_OFF = 0.15  # share of a ride, for the interval of a promise


class Method(StrEnum):
    """How bundles and couriers are brought together."""

    ASSIGNMENT = "assignment"  # one order a courier, by linear assignment
    FULL = "full"  # set packing over bundles


def optimize(problem: Problem, method: Method = Method.FULL, *, within_ms: float = WITHIN_MS) -> Plan:
    """
    Who goes next, and why the others wait.

    :param within_ms: after which the packing ends with what it has
    """
    started = time.perf_counter()
    if method is Method.ASSIGNMENT:
        problem = replace(problem, terms=replace(problem.terms, largest_bundle=1))
    capped = sorted(problem.orders, key=_first)[PLANNED_AT_MOST:]
    if capped:
        problem = replace(problem, orders=tuple(sorted(problem.orders, key=_first)[:PLANNED_AT_MOST]))
    left = {order.id: Why.CAPPED for order in capped}
    if not problem.orders or not problem.couriers:
        left |= {order.id: Why.NO_COURIER for order in problem.orders}
        return Plan(trips=(), left=left, status=Status.OPTIMAL, solve_ms=_ms_since(started))
    bundles = bundling.generate(problem.orders, problem.pace, problem.terms)
    weighed = costs.of(problem, bundles)
    packs = method is Method.FULL and len(problem.orders) <= PACKED_AT_MOST
    wanted = (
        packing.pack(problem, bundles, weighed, within_ms=within_ms)
        if packs
        else matching.match(bundles, weighed)
    )
    chosen = wanted or (packs and matching.match(bundles, weighed)) or _greedy(bundles, weighed)
    trips = tuple(_trip(problem, bundles, weighed, b, c) for b, c in chosen.pairs)
    going = {id for trip in trips for id in trip.orders}
    for i, order in enumerate(problem.orders):
        if order.id not in going:
            left[order.id] = _why(problem, order, weighed, i)
    return Plan(
        trips=trips, left=left, status=chosen.status, solve_ms=_ms_since(started), fallback=wanted is None
    )


def due(plan: Plan, now: float) -> Sequence[Trip]:
    """What must go by now: the rest may still change."""
    return [trip for trip in plan.trips if trip.leave_by <= now]


def _first(order: Order) -> tuple[bool, float, float]:
    return (not order.pinned, -order.priority, order.placed)


def _greedy(bundles: Bundles, weighed: Costs) -> Chosen:
    every = columns.nearest(weighed)
    return Chosen(packing.greedy(bundles, every, every.gain), Status.GREEDY)


def _trip(problem: Problem, bundles: Bundles, weighed: Costs, b: int, c: int) -> Trip:
    orders = [problem.orders[i] for i in bundles.members[b].tolist() if i >= 0]
    courier = problem.couriers[c]
    pickup, approach = float(weighed.pickup[b, c]), float(weighed.approach_min[b, c])
    doors = [float(pickup + offset) for offset in bundles.offsets[b, : len(orders)]]
    early = min(order.spread_min for order in orders)
    spread = max(order.spread_min for order in orders)
    rides = [RIDE_MAY_BE_OFF * (approach + door - pickup) for door in doors]
    total, changed = float(weighed.total[b, c]), float(weighed.changed[b, c])
    waiting = sum(door - order.placed for door, order in zip(doors, orders, strict=True))
    others = weighed.total[b].copy()
    others[c] = np.inf
    second = int(others.argmin())
    return Trip(
        courier=courier.id,
        kitchen=orders[0].kitchen,
        orders=tuple(order.id for order in orders),
        leave_by=max(courier.free_at, problem.now, pickup - problem.pace.hand_min - approach - early),
        pickup_at=pickup,
        doors=tuple(doors),
        within=tuple(
            (door - ride - spread, door + ride + spread) for door, ride in zip(doors, rides, strict=True)
        ),
        free_at=float(pickup + bundles.trip_min[b]),
        terms={"waiting": waiting, "changed": changed, "weighed": total - waiting - changed, "total": total},
        next_best=problem.couriers[second].id if np.isfinite(others[second]) else None,
    )


def _why(problem: Problem, order: Order, weighed: Costs, single: int) -> Why:
    if not any(costs.fits(order, courier.id, courier.has) for courier in problem.couriers):
        return Why.NOT_FIT
    return Why.ALL_BUSY if np.isfinite(weighed.total[single]).any() else Why.NOT_IN_TIME


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
