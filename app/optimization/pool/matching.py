"""
Linear assignment, the fast path: bundles that share no order are chosen first, then get couriers at the least cost.

Where there are more orders than couriers, those are bundled that lose least by it, as far as is needed.
"""

import numpy as np
from ortools.graph.python import min_cost_flow

from app.optimization.pool.bundles import Bundles, Ints
from app.optimization.pool.columns import PAYS
from app.optimization.pool.costs import Costs
from app.optimization.pool.model import Status
from app.optimization.pool.packing import Chosen

SCALE = 1_000  # costs are integers to the solver
NEAREST = 100  # couriers considered per bundle
NEVER = 1e9  # the cost of what cannot be


def match(bundles: Bundles, costs: Costs) -> Chosen | None:
    """Which bundle goes with which courier next; None if the solver found nothing."""
    parts = _parts(bundles, costs)
    gain = costs.total[parts] - costs.left[parts][:, None]
    count = min(NEAREST, gain.shape[1])
    courier = np.argpartition(gain, count - 1, axis=1)[:, :count].ravel()
    part = np.repeat(np.arange(len(parts)), count)
    good = gain[part, courier] < PAYS
    part, courier = part[good], courier[good]
    if not len(part):
        return Chosen([], Status.MATCHED)
    picked = _flow(part, courier, np.rint(gain[part, courier] * SCALE).astype(np.int64), gain.shape[1])
    if picked is None:
        return None
    return Chosen(
        list(zip(parts[part[picked]].tolist(), courier[picked].tolist(), strict=True)), Status.MATCHED
    )


def _parts(bundles: Bundles, costs: Costs) -> Ints:
    """Bundles that hold each order once: single orders, merged while there are more of them than couriers."""
    singles = int((bundles.sizes == 1).sum())
    best = np.minimum(costs.total.min(axis=1), NEVER)
    loss = best - np.where(bundles.real, best[bundles.members], 0.0).sum(axis=1)
    parts = {i: i for i in range(singles)}
    spare = len(costs.off_at) - singles
    for b in (np.argsort(loss[singles:], kind="stable") + singles).tolist():
        if spare >= 0:
            break
        mine = [i for i in bundles.members[b].tolist() if i >= 0]
        if best[b] < NEVER and all(parts[i] == i for i in mine):
            spare += len(mine) - 1
            parts.update(dict.fromkeys(mine, b))
    return np.array(sorted(set(parts.values())))


def _flow(part: Ints, courier: Ints, cost: Ints, couriers: int) -> Ints | None:
    """Nodes: source, parts, couriers, sink. A part may go past all couriers at no cost, and is then left."""
    parts = int(part.max()) + 1
    sink = 1 + parts + couriers
    tails = [np.zeros(parts), 1 + part, 1 + parts + np.arange(couriers), 1 + np.arange(parts)]
    heads = [1 + np.arange(parts), 1 + parts + courier, np.full(couriers, sink), np.full(parts, sink)]
    costs = [np.zeros(parts), cost, np.zeros(couriers), np.zeros(parts)]
    flow = min_cost_flow.SimpleMinCostFlow()
    flow.add_arcs_with_capacity_and_unit_cost(
        np.concatenate(tails).astype(np.int32),
        np.concatenate(heads).astype(np.int32),
        np.ones(sum(len(t) for t in tails), np.int64),
        np.concatenate(costs).astype(np.int64),
    )
    flow.set_node_supply(0, parts)
    flow.set_node_supply(sink, -parts)
    if flow.solve() != flow.OPTIMAL:
        return None
    return np.nonzero(flow.flows(np.arange(parts, parts + len(part))))[0]
