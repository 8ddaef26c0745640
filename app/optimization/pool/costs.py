"""What it costs that a courier takes a bundle, as matrices of bundles by couriers, in weighed minutes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from app.optimization.pool.bundles import Bundles, Floats, Ints, rides
from app.optimization.pool.model import MOST_IN_A_BUNDLE, Order, Problem


@dataclass(frozen=True, slots=True)
class Costs:
    """
    :param total: bundles by couriers; infinite where it cannot be
    :param pickup: bundles by couriers: when he has the meals
    :param approach_min: bundles by couriers: his way to the kitchen
    :param changed: bundles by couriers: what of `total` is for taking orders from others
    :param left: by bundle, what it costs to leave all its orders for later
    :param weight: by bundle, what a minute of its pickup costs
    :param fixed: by bundle, what its orders cost beside that
    :param onward_min: from each order's door to each bundle's kitchen
    :param off_at: by courier
    """

    total: Floats
    pickup: Floats
    approach_min: Floats
    changed: Floats
    left: Floats
    weight: Floats
    fixed: Floats
    onward_min: Floats
    off_at: Floats


def of(problem: Problem, bundles: Bundles) -> Costs:
    """Weigh every courier for every bundle; there is at least one of each."""
    orders, pace, now = problem.orders, problem.pace, problem.now
    names: dict[str, int] = {}
    kitchens = np.array([names.setdefault(o.kitchen, len(names)) for o in orders])
    spots = np.zeros((len(names), 2))
    spots[kitchens] = [(o.pickup.x, o.pickup.y) for o in orders]
    kitchen = kitchens[bundles.members[:, 0]]
    ride, arrival = _ways(problem, names, spots)
    pickup = np.maximum(np.maximum(bundles.ready[:, None], arrival[kitchen] + pace.hand_min), now)

    placed = np.array([o.placed for o in orders])
    priority = np.array([o.priority for o in orders])
    weights = np.where(bundles.real, priority[bundles.members], 0.0)
    weight = weights.sum(axis=1)
    fixed = (weights * (bundles.offsets - placed[bundles.members])).sum(axis=1)
    off_at = np.array([c.off_at for c in problem.couriers])
    changed = _changes(problem, bundles)
    total = weight[:, None] * pickup + fixed[:, None] + changed + lateness(problem, bundles, pickup)
    total[pickup > off_at[None, :]] = np.inf
    _forbid(problem, bundles, pickup, total)
    left = priority * (
        problem.terms.left + now - placed + _late(problem, now + problem.terms.left, slice(None))
    )
    doors = np.array([(o.door.x, o.door.y) for o in orders])
    return Costs(
        total=total,
        pickup=pickup,
        approach_min=ride[kitchen],
        changed=changed,
        left=np.where(bundles.real, left[bundles.members], 0.0).sum(axis=1),
        weight=weight,
        fixed=fixed,
        onward_min=rides(doors[:, None, :], spots[None, :, :], pace)[:, kitchen],
        off_at=off_at,
    )


def _ways(problem: Problem, names: dict[str, int], spots: Floats) -> tuple[Floats, Floats]:
    """Kitchens by couriers: minutes of riding, and when he is there."""
    couriers = problem.couriers
    at = np.array([(c.at.x, c.at.y) for c in couriers])
    free_at = np.maximum(np.array([c.free_at for c in couriers]), problem.now)
    ride = rides(spots[:, None, :], at[None, :, :], problem.pace)
    arrival = free_at + ride
    for j, courier in enumerate(couriers):
        if courier.kitchen in names:
            ride[names[courier.kitchen], j] = 0.0
            arrival[names[courier.kitchen], j] = courier.arrived_at
    return ride, arrival


def _changes(problem: Problem, bundles: Bundles) -> Floats:
    index = {c.id: j for j, c in enumerate(problem.couriers)}
    holder: Ints = np.array([index.get(o.held_by or "", -1) for o in problem.orders])
    held = np.where(bundles.real, holder[bundles.members], -1)
    extra = np.repeat(problem.terms.changed * (held >= 0).sum(axis=1)[:, None], len(index), axis=1)
    for n in range(MOST_IN_A_BUNDLE):
        rows = np.nonzero(held[:, n] >= 0)[0]
        extra[rows, held[rows, n]] -= problem.terms.changed
    return extra


def lateness(problem: Problem, bundles: Bundles, pickup: Floats) -> Floats:
    """What fetching each bundle then (bundles by any) costs beside the waiting, since orders were due before."""
    extra = np.zeros(pickup.shape)
    if all(order.due is None for order in problem.orders):
        return extra
    priority = np.array([order.priority for order in problem.orders])
    for n in range(MOST_IN_A_BUNDLE):
        members = bundles.members[:, n]
        weight = np.where(members >= 0, priority[members], 0.0)
        doors = pickup + bundles.offsets[:, n][:, None]
        extra += weight[:, None] * _late(problem, doors, (members, None))
    return extra


def _late(problem: Problem, doors: Any, which: Any) -> Floats:
    """What being at the doors then costs beside the waiting, for each of these orders."""
    due = np.array([np.inf if order.due is None else order.due for order in problem.orders])
    return np.asarray(problem.terms.late * np.maximum(0.0, doors - due[which]))


def _forbid(problem: Problem, bundles: Bundles, pickup: Floats, total: Floats) -> None:
    """Make infinite what room, a pin, a skill, a refusal or an order's own end rules out."""
    room = np.array([c.max_orders for c in problem.couriers])
    total[bundles.sizes[:, None] > room[None, :]] = np.inf
    for i, order in enumerate(problem.orders):
        if not (order.pinned or order.needs or order.refused_by or order.not_after is not None):
            continue
        rows, place = np.nonzero(bundles.members == i)
        barred = [j for j, courier in enumerate(problem.couriers) if not fits(order, courier.id, courier.has)]
        total[np.ix_(rows, np.array(barred, np.int64))] = np.inf
        if order.not_after is not None:
            doors = pickup[rows] + bundles.offsets[rows, place][:, None]
            total[rows] = np.where(doors > order.not_after, np.inf, total[rows])


def fits(order: Order, courier: str, has: frozenset[str]) -> bool:
    """Whether this courier may have the order at all."""
    if order.pinned and order.held_by != courier:
        return False
    return order.needs <= has and courier not in order.refused_by
