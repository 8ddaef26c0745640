"""What a played day was like."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import fmean

from infra.demo.recording import Placed
from infra.simulation.instance import Instance, door
from infra.simulation.play import Solves
from infra.simulation.policies import Policy
from infra.simulation.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """
    Times in minutes, over what was delivered; shares are fractions.

    :param floor_mean: click-to-door with no waiting at all: cooking, ride and service
    :param avoidable_removed_share: (fifo - policy) / (fifo - floor), of the means
    """

    instance: str
    policy: str
    prep_known: bool
    orders: int
    delivered: int
    click_to_door_mean: float
    click_to_door_p50: float
    click_to_door_p90: float
    click_to_door_p99: float
    ready_to_pickup_mean: float
    ready_to_door_mean: float
    undelivered_share: float
    orders_per_bundle: float
    cost_per_order: float
    floor_mean: float
    avoidable_removed_share: float
    solves: int
    solve_p50_ms: float
    solve_p99_ms: float
    solve_max_ms: float
    solve_cpu_p50_ms: float
    solve_cpu_p99_ms: float
    fallbacks: int

    def as_dict(self) -> dict[str, object]:
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}


def of(policy: Policy, world: World, solves: Solves, *, prep_known: bool, fifo_mean: float | None) -> Figures:
    """
    Sum the day up.

    :param fifo_mean: mean click-to-door of the same day under fifo-nearest; None: this is it
    """
    instance = world.instance
    lines = [
        (order, one.pickup, at)
        for one in world.fetched
        for order, at in zip(one.orders, one.doors, strict=True)
    ]
    waits = [at - order.minute for order, _, at in lines]
    mean, lowest = _mean(waits), floor(instance)
    fifo = mean if fifo_mean is None else fifo_mean
    return Figures(
        instance=instance.name,
        policy=policy,
        prep_known=prep_known,
        orders=len(instance.orders),
        delivered=len(lines),
        click_to_door_mean=mean,
        click_to_door_p50=quantile(waits, 0.5),
        click_to_door_p90=quantile(waits, 0.9),
        click_to_door_p99=quantile(waits, 0.99),
        ready_to_pickup_mean=_mean([pickup - order.ready_minute for order, pickup, _ in lines]),
        ready_to_door_mean=_mean([at - order.ready_minute for order, _, at in lines]),
        undelivered_share=1 - len(lines) / len(instance.orders) if instance.orders else 0.0,
        orders_per_bundle=len(lines) / len(world.fetched) if world.fetched else 0.0,
        cost_per_order=_pay(world) / len(lines) if lines else 0.0,
        floor_mean=lowest,
        avoidable_removed_share=(fifo - mean) / (fifo - lowest) if fifo > lowest else 0.0,
        solves=len(solves.wall_ms),
        solve_p50_ms=quantile(solves.wall_ms, 0.5),
        solve_p99_ms=quantile(solves.wall_ms, 0.99),
        solve_max_ms=max(solves.wall_ms, default=0.0),
        solve_cpu_p50_ms=quantile(solves.cpu_ms, 0.5),
        solve_cpu_p99_ms=quantile(solves.cpu_ms, 0.99),
        fallbacks=solves.fallbacks,
    )


def floor(instance: Instance) -> float:
    """Mean click-to-door if a courier always stood at the kitchen: cooking, ride, and both services' halves."""
    world = World(instance)
    hand_min = instance.pace.hand_min

    def least(order: Placed) -> float:
        cooking = order.ready_minute - order.minute
        return cooking + 2 * hand_min + world.ride_min(instance.pickup(order), door(order))

    return _mean([least(order) for order in instance.orders])


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many are not above; 0 of nothing."""
    ranked = sorted(values)
    return float(ranked[min(len(ranked) - 1, int(share * len(ranked)))]) if ranked else 0.0


def _pay(world: World) -> float:
    instance = world.instance
    brought = dict.fromkeys((rider.id for rider in instance.riders), 0)
    for one in world.fetched:
        brought[one.courier] += len(one.orders)
    return sum(
        max(
            instance.pay_per_order * brought[rider.id],
            instance.pay_per_hour * (rider.off_minute - rider.on_minute) / 60,
        )
        for rider in instance.riders
    )


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0
