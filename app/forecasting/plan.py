"""What a forecast asks for: couriers, places in kitchens, and machines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.forecasting.model import Predicted

ORDERS_PER_COURIER_HOUR = 2.5
COMPUTE, DATABASE, CACHE = 1.5, 1.3, 1.2  # how much more than the expected peak each is built for


@dataclass(frozen=True, slots=True, kw_only=True)
class HourPlan:
    """What one hour of one zone needs, for the upper end of its interval: couriers on duty, and places."""

    couriers: int
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """
    Loads, in orders per second, for which the parts are to be built.

    `peak` is the upper end of the busiest hour; `grown` the same after the growth; then `compute` 1.5 times,
    `database` 1.3 times and `cache` 1.2 times that, since each has its own way of giving in.
    """

    growth: float
    peak: float
    grown: float
    compute: float
    database: float
    cache: float


def hour(predicted: Predicted, *, per_courier_hour: float = ORDERS_PER_COURIER_HOUR) -> HourPlan:
    """:param per_courier_hour: orders that a courier delivers in an hour"""
    return HourPlan(
        couriers=math.ceil(predicted.high / per_courier_hour),
        slots=math.ceil(predicted.high),
    )


def resources(by_hour: Sequence[float], *, growth: float) -> Resources:
    """
    :param by_hour: upper ends of all zones together, orders per hour
    :param growth: 0.2 is a fifth more
    """
    peak = max(by_hour, default=0.0) / 3600
    grown = peak * (1 + growth)
    return Resources(
        growth=growth,
        peak=peak,
        grown=grown,
        compute=grown * COMPUTE,
        database=grown * DATABASE,
        cache=grown * CACHE,
    )
