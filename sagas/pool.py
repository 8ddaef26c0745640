"""
The own fleet's pool, planned anew every minute until its couriers must leave.

What none of the couriers on duty may have any more, since all that fit have refused or gone, gets another partner.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.deliveries import service as deliveries
from app.doorbell import Bell
from app.fleet import pool
from app.fleet.pool import Move, Rider, Waiting
from app.optimization.model import EARTH_M_PER_DEGREE, Point
from app.optimization.pool.model import Courier, Order, Pace, Plan, Problem, Spot, Terms
from app.runs.follow_ups import Begun
from sagas.deliveries import REROUTE_BY
from sagas.ports import Ports

PLANNED_EVERY_MIN = 1.0
SOON_MIN = 20.0
MOST = 600
LONGEST_DUTY_MIN = 24 * 60.0
NOBODY = {"who": "uoop", "why": "no courier of our own may bring it"}
PACE = Pace(metres_per_min=320.0)
TERMS = Terms(changed=1.0)  # people are told of each change


def replan(ports: Ports) -> int:
    """
    Plan what waits in the pool, and commit what must leave before the next time.

    :return: how many orders have another courier, a final one, or another partner instead
    """
    now = datetime.now(UTC)
    with ports.engine.begin() as connection:
        waiting = pool.waiting(connection, most=MOST)
        riders = pool.riders(connection, list(waiting), soon_s=SOON_MIN * 60) if waiting else {}
    moves = [
        each
        for tenant, orders in waiting.items()
        for each in decided(orders, riders.get(tenant, ()), now=now)
    ]
    if not moves:
        return 0
    with ports.engine.begin() as connection:
        given_up = pool.given_up(
            connection, [each.key for each in moves if not each.final], soon_s=SOON_MIN * 60
        )
        wishes = [REROUTE_BY.of(order_id, **NOBODY) for order_id in given_up]
        told = deliveries.begin_reroutes(connection, REROUTE_BY, wishes)
        gone = {each.order_id for each in told if isinstance(each, Begun)}  # the others are asked about again
        changed = pool.move(connection, [each for each in moves if each.order_id not in gone])
    if changed:
        ports.doorbell.ring(Bell.RELAY)
    if gone:
        ports.doorbell.ring(Bell.CLAIM)
    return changed + len(gone)


def decided(orders: Sequence[Waiting], riders: Sequence[Rider], *, now: datetime) -> list[Move]:
    """What becomes of one tenant's orders; who has no trip keeps the courier that was thought of."""
    from app.optimization.pool.optimize import due, optimize  # noqa: PLC0415 (loads OR-Tools)

    by_key = {order.key: order for order in orders}
    plan = optimize(problem(orders, riders, now=now))
    final = {key for trip in due(plan, PLANNED_EVERY_MIN) for key in trip.orders}
    return [
        Move(
            key=key,
            order_id=by_key[key].order_id,
            previous=by_key[key].courier,
            courier=courier,
            door_s=door_min * 60,
            final=key in final,
        )
        for key, (courier, door_min) in _doors(by_key, plan).items()
    ]


def problem(orders: Sequence[Waiting], riders: Sequence[Rider], *, now: datetime) -> Problem:
    """In minutes from now, and metres around the first kitchen."""
    centre = orders[0].pickup

    def minutes(at: datetime) -> float:
        return (at - now) / timedelta(minutes=1)

    return Problem(
        now=0.0,
        orders=tuple(
            Order(
                id=order.key,
                kitchen=order.kitchen,
                pickup=_spot(order.pickup, centre),
                door=_spot(order.door, centre),
                placed=minutes(order.placed),
                ready=minutes(order.ready),
                due=minutes(order.eta) if order.eta else None,
                held_by=order.courier,
                needs=order.needs,
                refused_by=order.refused_by,
            )
            for order in orders
        ),
        couriers=tuple(
            Courier(
                id=rider.id,
                at=_spot(rider.at, centre),
                free_at=max(0.0, *(minutes(at) for at in (rider.on_from, rider.free_at) if at), 0.0),
                off_at=minutes(rider.on_until) if rider.on_until else LONGEST_DUTY_MIN,
                max_orders=rider.max_orders,
                has=rider.has,
            )
            for rider in riders
        ),
        pace=PACE,
        terms=TERMS,
    )


def _doors(orders: dict[str, Waiting], plan: Plan) -> dict[str, tuple[str | None, float]]:
    """By key, the courier and the minute at the door; whoever is left is looked at again the next time."""
    found: dict[str, tuple[str | None, float]] = {
        key: (trip.courier, door)
        for trip in plan.trips
        for key, door in zip(trip.orders, trip.doors, strict=True)
    }
    left = {key: (orders[key].courier, 10 * PLANNED_EVERY_MIN) for key in plan.left}
    return found | left


def _spot(at: Point, centre: Point) -> Spot:
    x = (at.lng - centre.lng) * EARTH_M_PER_DEGREE * math.cos(math.radians(centre.lat))
    return Spot(x, (at.lat - centre.lat) * EARTH_M_PER_DEGREE)
