"""
Set packing by column generation: each order in at most one bundle, each courier on one way, at the least total cost.

GLOP solves the relaxation over the columns at hand; its prices tell which are missing: next trips first, then pairs of
trips, so that what is planned now leaves couriers where the rest needs them. What is in fractions at the end is settled
by SCIP over these columns alone, or by taking the largest fraction first.
"""

import time
from dataclasses import dataclass

import numpy as np
from ortools.linear_solver import pywraplp

from app.optimization.pool import columns as making
from app.optimization.pool.bundles import Bundles, Floats
from app.optimization.pool.columns import Columns, Prices
from app.optimization.pool.costs import Costs
from app.optimization.pool.model import Problem, Status

WHOLE = 1e-6
ROUNDS = 4
ROUNDS_OF_SECONDS = 2
SETTLED = 10  # fewer missing columns than this: the next trips are as good as priced
AT_LEAST_MS = 20  # for what has begun


@dataclass(frozen=True, slots=True)
class Chosen:
    """Bundles and their couriers, as pairs of indices."""

    pairs: list[tuple[int, int]]
    status: Status


def pack(problem: Problem, bundles: Bundles, costs: Costs, *, within_ms: float) -> Chosen | None:
    """
    Which bundle goes with which courier next; None if the solver found nothing in its time.

    Half of the time is for finding columns; what was found by then stands.
    """
    end = time.monotonic() + within_ms / 1000
    members = [[i for i in row if i >= 0] for row in bundles.members.tolist()]
    columns = making.nearest(costs)
    relaxed = _Relaxation("GLOP", members, end)
    values = relaxed.solved_with(columns)
    if values is None:
        return None
    for n in range(ROUNDS):
        if time.monotonic() > end - within_ms / 2000:
            break
        prices = relaxed.prices(bundles, len(costs.off_at))
        more = making.missing(costs, prices)
        if n >= ROUNDS - ROUNDS_OF_SECONDS or len(more) < SETTLED:
            known = making.joined([columns, more])
            more = making.joined([more, making.followed(problem, bundles, costs, known, prices)])
        if not len(more):
            break
        better = relaxed.solved_with(more)
        if better is None:
            break
        columns, values = making.joined([columns, more]), better
    return _whole(members, columns, values, end)


def greedy(bundles: Bundles, columns: Columns, score: Floats) -> list[tuple[int, int]]:
    """The lowest score first, as far as orders and couriers go."""
    members = bundles.members.tolist()
    return _taken([[i for i in row if i >= 0] for row in members], columns, score)


class _Relaxation:
    def __init__(self, name: str, members: list[list[int]], end: float) -> None:
        self._members = members
        self._end = end
        self._solver = pywraplp.Solver.CreateSolver(name)
        self._objective = self._solver.Objective()
        self._objective.SetMinimization()
        self._orders: dict[int, pywraplp.Constraint] = {}
        self._couriers: dict[int, pywraplp.Constraint] = {}
        self._variables: list[pywraplp.Variable] = []

    def solved_with(self, columns: Columns) -> Floats | None:
        """Values of all columns so far, these among them."""
        infinity, whole = self._solver.infinity(), self._solver.IsMip()
        lines = zip(
            columns.first.tolist(),
            columns.courier.tolist(),
            columns.then.tolist(),
            columns.gain.tolist(),
            strict=True,
        )
        for first, courier, then, gain in lines:
            x = self._solver.IntVar(0, 1, "") if whole else self._solver.NumVar(0, infinity, "")
            self._variables.append(x)
            self._objective.SetCoefficient(x, gain)
            self._row(self._couriers, courier).SetCoefficient(x, 1)
            for i in self._members[first] if then < 0 else self._members[first] + self._members[then]:
                self._row(self._orders, i).SetCoefficient(x, 1)
        left_ms = (self._end - time.monotonic()) * 1000
        self._solver.SetTimeLimit(max(AT_LEAST_MS, int(left_ms)))
        if self._solver.Solve() not in (self._solver.OPTIMAL, self._solver.FEASIBLE):
            return None
        return np.array([x.solution_value() for x in self._variables])

    def prices(self, bundles: Bundles, couriers: int) -> Prices:
        of_orders, of_couriers = np.zeros(int(bundles.members.max()) + 1), np.zeros(couriers)
        for i, row in self._orders.items():
            of_orders[i] = row.dual_value()
        for j, row in self._couriers.items():
            of_couriers[j] = row.dual_value()
        return Prices(np.where(bundles.real, of_orders[bundles.members], 0.0).sum(axis=1), of_couriers)

    def _row(self, rows: "dict[int, pywraplp.Constraint]", index: int) -> "pywraplp.Constraint":
        if index not in rows:
            rows[index] = self._solver.Constraint(-self._solver.infinity(), 1)
        return rows[index]


def _whole(members: list[list[int]], columns: Columns, values: Floats, end: float) -> Chosen:
    settled = columns.at(values > 1 - WHOLE)
    pairs = list(zip(settled.first.tolist(), settled.courier.tolist(), strict=True))
    fractions = (values > WHOLE) & (values <= 1 - WHOLE)
    if not fractions.any():
        return Chosen(pairs, Status.OPTIMAL)
    rest = columns.at(fractions)
    picked = _Relaxation("SCIP", members, end).solved_with(rest)
    if picked is None:
        return Chosen(pairs + _taken(members, rest, -values[fractions]), Status.ROUNDED)
    rest = rest.at(picked > 0.5)
    return Chosen(pairs + list(zip(rest.first.tolist(), rest.courier.tolist(), strict=True)), Status.ROUNDED)


def _taken(members: list[list[int]], columns: Columns, score: Floats) -> list[tuple[int, int]]:
    orders: set[int] = set()
    couriers: set[int] = set()
    pairs = []
    for n in np.argsort(score, kind="stable").tolist():
        first, courier, then = int(columns.first[n]), int(columns.courier[n]), int(columns.then[n])
        mine = members[first] + (members[then] if then >= 0 else [])
        if courier in couriers or not orders.isdisjoint(mine):
            continue
        couriers.add(courier)
        orders.update(mine)
        pairs.append((first, courier))
    return pairs
