"""What may travel together: single orders, and pairs and triples of one kitchen, each with its best order of doors."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from app.optimization.pool.model import MOST_IN_A_BUNDLE, Order, Pace, Terms

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST = 300  # pairs, and triples
OF_ONE_KITCHEN = 8  # the first ready: triples grow with the third power


@dataclass(frozen=True, slots=True)
class Bundles:
    """
    Columns of the plan, one row each; the first are the single orders, in the problem's order.

    :param members: indices of orders in the order of their doors, -1 where there is none
    :param offsets: minutes from fetching to being at each door, 0 where there is none
    :param ready: when the last of them is ready
    :param trip_min: minutes from fetching until the courier is free again
    """

    members: Ints
    offsets: Floats
    ready: Floats
    trip_min: Floats

    def __len__(self) -> int:
        return len(self.members)

    @property
    def real(self) -> npt.NDArray[np.bool_]:
        """Where there is a member."""
        return self.members >= 0

    @property
    def sizes(self) -> Ints:
        return np.asarray(self.real.sum(axis=1))

    def at(self, rows: npt.NDArray[Any]) -> "Bundles":
        """Some of them."""
        return Bundles(self.members[rows], self.offsets[rows], self.ready[rows], self.trip_min[rows])


def rides(a: Floats, b: Floats, pace: Pace) -> Floats:
    """Minutes between places, given as arrays of (..., 2) that broadcast."""
    d = a - b
    minutes = np.sqrt(d[..., 0] ** 2 + d[..., 1] ** 2) / pace.metres_per_min
    return np.asarray(np.ceil(minutes - 1e-9) if pace.whole_minutes else minutes)


def generate(orders: Sequence[Order], pace: Pace, terms: Terms) -> Bundles:
    """Single orders all, and of the others those that keep the limits of `terms`, `MOST` of each size."""
    places = _Places(
        np.array([(o.pickup.x, o.pickup.y) for o in orders]),
        np.array([(o.door.x, o.door.y) for o in orders]),
        np.array([o.ready for o in orders]),
        pace,
    )
    singles = places.timed(np.arange(len(orders))[:, None])
    found = [singles]
    groups = _together(orders)
    for size in range(2, terms.largest_bundle + 1):
        tuples = np.array([t for group in groups for t in combinations(group, size)])
        if len(tuples):
            best = _best([places.timed(tuples[:, way]) for way in map(list, permutations(range(size)))])
            found.append(_kept(best, places.ready, singles.offsets[:, 0], terms))
    return Bundles(
        np.concatenate([b.members for b in found]),
        np.concatenate([b.offsets for b in found]),
        np.concatenate([b.ready for b in found]),
        np.concatenate([b.trip_min for b in found]),
    )


@dataclass(frozen=True, slots=True)
class _Places:
    pickups: Floats
    doors: Floats
    ready: Floats
    pace: Pace

    def timed(self, members: Ints) -> Bundles:
        count, size = members.shape
        offsets = np.zeros((count, MOST_IN_A_BUNDLE))
        padded = np.full((count, MOST_IN_A_BUNDLE), -1)
        padded[:, :size] = members
        clock = np.full(count, self.pace.hand_min)
        place = self.pickups[members[:, 0]]
        for n in range(size):
            door = self.doors[members[:, n]]
            offsets[:, n] = clock + rides(place, door, self.pace) + self.pace.hand_min
            clock = offsets[:, n] + self.pace.hand_min
            place = door
        return Bundles(padded, offsets, self.ready[members].max(axis=1), clock)


def _together(orders: Sequence[Order]) -> list[list[int]]:
    by_kitchen: dict[str, list[int]] = defaultdict(list)
    for i, order in enumerate(orders):
        by_kitchen[order.kitchen].append(i)
    return [
        sorted(group, key=lambda i: orders[i].ready)[:OF_ONE_KITCHEN]
        for group in by_kitchen.values()
        if len(group) > 1
    ]


def _best(ways: Sequence[Bundles]) -> Bundles:
    """Of each tuple the order of doors with the least sum of waiting; a courier free earlier breaks ties."""
    pick = np.array([way.offsets.sum(axis=1) + 0.5 * way.trip_min for way in ways]).argmin(axis=0)
    rows = np.arange(len(pick))
    return Bundles(
        np.array([way.members for way in ways])[pick, rows],
        np.array([way.offsets for way in ways])[pick, rows],
        ways[0].ready,
        np.array([way.trip_min for way in ways])[pick, rows],
    )


def _kept(best: Bundles, ready: Floats, direct: Floats, terms: Terms) -> Bundles:
    since_ready = np.where(best.real, best.ready[:, None] + best.offsets - ready[best.members], 0.0)
    detour = np.where(best.real, best.offsets - direct[best.members], 0.0).max(axis=1)
    first = np.where(best.real, ready[best.members], np.inf).min(axis=1)
    good = best.at(
        (since_ready.max(axis=1) <= terms.bag_min)
        & (detour <= terms.detour_min)
        & (best.ready - first <= terms.apart_min)
    )
    return good.at(np.argsort(good.offsets.sum(axis=1) / good.sizes, kind="stable")[:MOST])
