"""How couriers are chosen, minute by minute."""

from collections.abc import Callable, Mapping
from enum import StrEnum

from app.optimization.pool.model import Courier, Order, Plan, Problem, Trip
from app.optimization.pool.optimize import UNHURRIED_MS, Method, due, optimize
from infra.demo.recording import Placed
from infra.simulation.instance import door
from infra.simulation.world import World

SOON_MIN = 20  # couriers that are free by then are planned with


class Policy(StrEnum):
    """Named as on the command line."""

    FIFO_NEAREST = "fifo-nearest"  # first come first served, by the nearest idle courier
    GREEDY = "greedy"  # the closest pair of order and idle courier first
    ASSIGNMENT = "assignment"  # one linear assignment a minute, no bundles
    FULL = "full"  # set packing over bundles, committed late


Step = Callable[[World], Plan | None]
Tell = Callable[[World, Plan], None]


def of(policy: Policy, tell: Tell = lambda *_: None) -> Step:
    """
    What is done each minute that an order waits.

    :param tell: called with each plan before it is acted on
    """
    if policy is Policy.FIFO_NEAREST:
        return _fifo_nearest
    if policy is Policy.GREEDY:
        return _greedy
    return _Planned(Method(policy.value), tell)


def _fifo_nearest(world: World) -> None:
    for order in list(world.open.values()):
        ways = [way for courier in _idle(world) if (way := _way(world, order, courier))]
        if ways:
            _send(world, order, min(ways)[1])


def _greedy(world: World) -> None:
    while True:
        idle = _idle(world)
        ways = [
            (*way, order.minute, order.id)
            for order in world.open.values()
            for courier in idle
            if (way := _way(world, order, courier))
        ]
        if not ways:
            return
        _, courier_id, _, order_id = min(ways)
        _send(world, world.open[order_id], courier_id)


def _idle(world: World) -> list[Courier]:
    return [c for c in world.couriers.values() if c.free_at <= world.now <= c.off_at]


def _way(world: World, order: Placed, courier: Courier) -> tuple[int, str] | None:
    """Minutes to the kitchen, if he can fetch it before his shift ends."""
    minutes = world.ride_min(courier.at, world.instance.pickup(order))
    pickup = max(order.ready_minute, world.now + minutes + world.instance.pace.hand_min)
    return (minutes, courier.id) if pickup <= courier.off_at else None


def _send(world: World, order: Placed, courier_id: str) -> None:
    world.ride(courier_id, order.restaurant)
    world.fetch(courier_id, (order.id,), assigned=world.now)


class _Planned:
    """Plans anew each minute; rides when it is time, and is free to change its mind until the meal is fetched."""

    def __init__(self, method: Method, tell: Tell) -> None:
        self._method = method
        self._tell = tell
        self._trips: Mapping[tuple[str, tuple[str, ...]], int] = {}

    def __call__(self, world: World) -> Plan:
        held = {id: courier for courier, orders in self._trips for id in orders}
        plan = optimize(_problem(world, held), self._method, within_ms=UNHURRIED_MS)
        self._trips = {
            (trip.courier, trip.orders): self._trips.get((trip.courier, trip.orders), world.now)
            for trip in plan.trips
        }
        self._tell(world, plan)
        for trip in due(plan, world.now):
            courier = world.couriers[trip.courier]
            if courier.kitchen != trip.kitchen:
                world.ride(trip.courier, trip.kitchen)
            elif trip.pickup_at <= world.now and _all_ready(world, trip):
                world.fetch(trip.courier, trip.orders, assigned=self._trips[trip.courier, trip.orders])
        return plan


def _all_ready(world: World, trip: Trip) -> bool:
    return all(world.open[id].ready_minute <= world.now for id in trip.orders)


def _problem(world: World, held: Mapping[str, str]) -> Problem:
    return Problem(
        now=world.now,
        orders=tuple(
            Order(
                id=order.id,
                kitchen=order.restaurant,
                pickup=world.instance.pickup(order),
                door=door(order),
                placed=order.minute,
                ready=ready.ready,
                spread_min=ready.spread_min,
                held_by=held.get(order.id),
            )
            for order, ready in ((order, world.ready(order)) for order in world.open.values())
        ),
        couriers=tuple(
            courier
            for courier in world.couriers.values()
            if courier.off_at >= world.now and courier.free_at <= world.now + SOON_MIN
        ),
        pace=world.instance.pace,
    )
