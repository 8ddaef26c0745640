"""
The cohort's orders to couriers and partners at the least total cost: a minimum-cost flow by OR-Tools.

Each order sends one unit to a courier with room among its nearest, or to a partner; partners have room for
all, so that a feasible plan always exists. Without a solution each order takes its own cheapest channel.
"""

from dataclasses import dataclass, replace

import numpy as np
from ortools.graph.python import min_cost_flow

from app.optimization.model import (
    EARTH_M_PER_DEGREE,
    OWN_FLEET,
    Assignment,
    Courier,
    Job,
    Plan,
    Point,
    Problem,
    metres,
)

NEAREST = 6  # couriers considered per order
COURIER_SPEED_M_PER_S = 320 / 60
COURIER_COST_PER_KM = 0.080
SERVICE_S = 240.0  # at the door, and at the kitchen
SCALE = 10_000  # costs are integers to the solver


@dataclass(frozen=True, slots=True)
class _Option:
    cost: float
    channel: str
    courier: str | None
    eta_s: float


def assign(problem: Problem) -> Plan:
    """A feasible plan for every job that anybody can deliver; without `Job.without` every partner can."""
    fleet = _fleet_options(problem)
    options = [fleet[i] + _partner_options(job, problem) for i, job in enumerate(problem.jobs)]
    if not all(options):
        return assign(
            replace(problem, jobs=tuple(j for j, o in zip(problem.jobs, options, strict=True) if o))
        )
    chosen = _solve(problem, options)
    fallback = chosen is None
    picks = chosen if chosen is not None else [min(o, key=lambda option: option.cost) for o in options]
    return Plan(
        assignments=tuple(
            _assignment(job, pick, o) for job, pick, o in zip(problem.jobs, picks, options, strict=True)
        ),
        fallback=fallback,
    )


def _fleet_options(problem: Problem) -> list[list[_Option]]:
    by_tenant: dict[str, list[Courier]] = {}
    for courier in problem.couriers:
        if courier.free > 0:
            by_tenant.setdefault(courier.tenant_id, []).append(courier)
    positions = {
        tenant: np.array([(c.at.lat, c.at.lng) for c in couriers]) for tenant, couriers in by_tenant.items()
    }
    options: list[list[_Option]] = [[] for _ in problem.jobs]
    for i, job in enumerate(problem.jobs):
        if job.wish in ("partner", "pickup") or job.pickup is None or job.tenant_id not in by_tenant:
            continue
        if OWN_FLEET in job.without:
            continue
        ride = metres(job.pickup, job.dropoff)
        distances = _distances(positions[job.tenant_id], job.pickup)
        couriers = by_tenant[job.tenant_id]
        if job.needs:
            distances[[not job.needs <= courier.has for courier in couriers]] = np.inf
        nearest = np.argsort(distances)[:NEAREST]
        if job.needs:
            nearest = nearest[np.isfinite(distances[nearest])]
        for j in nearest:
            options[i].append(_fleet_option(couriers[j], float(distances[j]), ride, job, problem.minute_cost))
    return options


def _distances(positions: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", to: Point):  # type: ignore[no-untyped-def]
    dy = (positions[:, 0] - to.lat) * EARTH_M_PER_DEGREE
    dx = (positions[:, 1] - to.lng) * EARTH_M_PER_DEGREE * np.cos(np.radians(to.lat))
    return np.hypot(dx, dy)


def _fleet_option(
    courier: Courier, approach_m: float, ride_m: float, job: Job, minute_cost: float
) -> _Option:
    eta_s = (
        max(job.prep_s, approach_m / COURIER_SPEED_M_PER_S) + 2 * SERVICE_S + ride_m / COURIER_SPEED_M_PER_S
    )
    cost = (approach_m + ride_m) / 1000 * COURIER_COST_PER_KM + eta_s / 60 * minute_cost
    if job.wish == "own_fleet":
        cost *= 0.5
    return _Option(cost, OWN_FLEET, courier.id, eta_s)


def _partner_options(job: Job, problem: Problem) -> list[_Option]:
    minute_cost = problem.minute_cost
    ride_m = metres(job.pickup, job.dropoff) if job.pickup else 3000.0
    options = []
    for partner in problem.partners:
        if partner.name in job.without:
            continue
        eta_s = job.prep_s + 2 * SERVICE_S + ride_m / partner.speed_m_per_s
        cost = partner.base_fee + ride_m / 1000 * partner.per_km + eta_s / 60 * minute_cost
        options.append(_Option(cost, partner.name, None, eta_s))
    return options


def _solve(problem: Problem, options: list[list[_Option]]) -> list[_Option] | None:
    """Nodes: source 0, jobs, couriers, one for all partners, sink. None if the solver has no optimum."""
    jobs = len(problem.jobs)
    courier_nodes = {(c.tenant_id, c.id): 1 + jobs + n for n, c in enumerate(problem.couriers)}
    partners_node = 1 + jobs + len(problem.couriers)
    sink = partners_node + 1
    arcs: list[tuple[int, int, int, int]] = [(0, 1 + i, 1, 0) for i in range(jobs)]
    picks: list[tuple[int, _Option]] = []
    for i, choices in enumerate(options):
        for option in choices:
            tenant = problem.jobs[i].tenant_id
            target = courier_nodes[tenant, option.courier] if option.courier else partners_node
            arcs.append((1 + i, target, 1, round(option.cost * SCALE)))
            picks.append((i, option))
    arcs += [(courier_nodes[c.tenant_id, c.id], sink, max(0, c.free), 0) for c in problem.couriers]
    arcs.append((partners_node, sink, jobs, 0))

    flow = min_cost_flow.SimpleMinCostFlow()
    table = np.array(arcs, dtype=np.int64)
    flow.add_arcs_with_capacity_and_unit_cost(
        table[:, 0].astype(np.int32), table[:, 1].astype(np.int32), table[:, 2], table[:, 3]
    )
    flow.set_node_supply(0, jobs)
    flow.set_node_supply(sink, -jobs)
    if flow.solve() != flow.OPTIMAL:
        return None
    chosen: list[_Option | None] = [None] * jobs
    for n, (i, option) in enumerate(picks):
        if flow.flow(jobs + n):
            chosen[i] = option
    return [option for option in chosen if option is not None]


def _assignment(job: Job, pick: _Option, options: list[_Option]) -> Assignment:
    """A courier of ours who was better given to somebody else is the last resort, when all partners refuse."""
    best = _best(pick, options)
    ours = best.get(OWN_FLEET)
    others = sorted((o for o in best.values() if o is not pick and o is not ours), key=lambda o: o.cost)
    last = (OWN_FLEET,) if ours and ours is not pick else ()
    return Assignment(
        run_id=job.run_id,
        ranking=(pick.channel, *(option.channel for option in others), *last),
        courier=ours.courier if ours else None,
        eta_s=round(pick.eta_s, 1),
        cost=round(pick.cost, 3),
        offers=tuple((o.channel, round(o.cost, 3), round(o.eta_s, 1)) for o in best.values()),
    )


def _best(pick: _Option, options: list[_Option]) -> dict[str, _Option]:
    """By channel the best; of the chosen one, what was chosen."""
    best = {pick.channel: pick}
    for option in options:
        if option.channel not in best or (
            option.cost < best[option.channel].cost and option.channel != pick.channel
        ):
            best[option.channel] = option
    return best
