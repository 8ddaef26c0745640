"""What a courier may do next, and after that: the columns of the packing, and those that pay at given prices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.optimization.pool import costs as weighing
from app.optimization.pool.bundles import Bundles, Floats, Ints
from app.optimization.pool.costs import Costs
from app.optimization.pool.model import MOST_IN_A_BUNDLE, Problem

NEAREST = 8  # couriers of each bundle to begin with
AT_ONCE = 3  # columns added per bundle, per courier and per first trip, each time they are priced
THEN_AT_ONCE = 1_500
LIKELY_MIN = 30.0  # first trips that cost more than this above the prices get no second
PAYS = -1e-6


@dataclass(frozen=True, slots=True)
class Columns:
    """
    A courier's next trip and perhaps the one after it.

    :param first: bundles
    :param then: bundles, -1 for none
    :param gain: cost against leaving the orders for later: below zero
    """

    first: Ints
    courier: Ints
    then: Ints
    gain: Floats

    def __len__(self) -> int:
        return len(self.first)

    def at(self, rows: npt.NDArray[Any]) -> "Columns":
        """Some of them."""
        return Columns(self.first[rows], self.courier[rows], self.then[rows], self.gain[rows])


@dataclass(frozen=True, slots=True)
class Prices:
    """What the relaxation would give for one order more (by bundle: all of its orders), one courier more."""

    bundles: Floats
    couriers: Floats


def joined(parts: Sequence[Columns]) -> Columns:
    """All of them."""
    return Columns(
        np.concatenate([p.first for p in parts]),
        np.concatenate([p.courier for p in parts]),
        np.concatenate([p.then for p in parts]),
        np.concatenate([p.gain for p in parts]),
    )


def nearest(costs: Costs) -> Columns:
    """The next trips to begin with: each bundle by its nearest couriers."""
    gain = costs.total - costs.left[:, None]
    return _firsts(gain, _least(gain, NEAREST, axis=1) & (gain < PAYS))


def missing(costs: Costs, prices: Prices) -> Columns:
    """Next trips that pay: of each bundle and of each courier the best few."""
    gain = costs.total - costs.left[:, None]
    reduced = gain - prices.bundles[:, None] - prices.couriers[None, :]
    wanted = _least(reduced, AT_ONCE, axis=0) | _least(reduced, AT_ONCE, axis=1)
    return _firsts(gain, wanted & (reduced < PAYS))


def followed(problem: Problem, bundles: Bundles, costs: Costs, firsts: Columns, prices: Prices) -> Columns:
    """Second trips that pay, after those of `firsts` that are likely; a courier rides on from his last door."""
    slack = firsts.gain - prices.bundles[firsts.first] - prices.couriers[firsts.courier]
    likely = (firsts.then < 0) & (slack < LIKELY_MIN)
    firsts, slack = firsts.at(likely), slack[likely]
    if not len(firsts):
        return firsts
    members = bundles.members[firsts.first]
    last = members[np.arange(len(firsts)), bundles.sizes[firsts.first] - 1]
    free_at = costs.pickup[firsts.first, firsts.courier] + bundles.trip_min[firsts.first]
    arrival = free_at[:, None] + costs.onward_min[last]
    pickup = np.maximum(bundles.ready[None, :], arrival + problem.pace.hand_min)
    gain = costs.weight[None, :] * pickup + (costs.fixed - costs.left)[None, :] + problem.terms.later
    gain += weighing.lateness(problem, bundles, pickup.T).T
    reduced = gain - prices.bundles[None, :] + slack[:, None]
    reduced[pickup > costs.off_at[firsts.courier][:, None]] = np.inf
    reduced[_too_late(problem, bundles, pickup)] = np.inf
    reduced[np.isinf(costs.total[:, firsts.courier].T)] = np.inf
    reduced[_overlap(members, bundles.members)] = np.inf
    rows, then = np.nonzero(_least(reduced, AT_ONCE, axis=1) & (reduced < PAYS))
    if len(rows) > THEN_AT_ONCE:
        keep = np.argpartition(reduced[rows, then], THEN_AT_ONCE)[:THEN_AT_ONCE]
        rows, then = rows[keep], then[keep]
    return Columns(firsts.first[rows], firsts.courier[rows], then, firsts.gain[rows] + gain[rows, then])


def _firsts(gain: Floats, wanted: npt.NDArray[np.bool_]) -> Columns:
    first, courier = np.nonzero(wanted)
    return Columns(first, courier, np.full(len(first), -1), gain[first, courier])


def _least(table: Floats, count: int, *, axis: int) -> npt.NDArray[np.bool_]:
    """Marks the `count` smallest along the axis."""
    count = min(count, table.shape[axis])
    order = np.argpartition(table, count - 1, axis=axis)
    marks = np.zeros(table.shape, bool)
    np.put_along_axis(marks, order.take(range(count), axis=axis), True, axis=axis)
    return marks


def _too_late(problem: Problem, bundles: Bundles, pickup: Floats) -> npt.NDArray[np.bool_]:
    """Where fetching a bundle then (any by bundles) brings one of its orders after the order's own end."""
    late = np.zeros(pickup.shape, bool)
    if all(order.not_after is None for order in problem.orders):
        return late
    ends = np.array([np.inf if order.not_after is None else order.not_after for order in problem.orders])
    for n in range(MOST_IN_A_BUNDLE):
        members = bundles.members[:, n]
        late |= pickup + bundles.offsets[:, n] > np.where(members >= 0, ends[members], np.inf)
    return late


def _overlap(a: Ints, b: Ints) -> npt.NDArray[np.bool_]:
    """Rows of `a` by rows of `b`: whether they share an order."""
    shared = np.zeros((len(a), len(b)), bool)
    for n in range(MOST_IN_A_BUNDLE):
        for m in range(MOST_IN_A_BUNDLE):
            shared |= (a[:, n][:, None] == b[:, m][None, :]) & (b[:, m] >= 0)[None, :]
    return shared
