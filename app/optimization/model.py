"""The problem and the plan, as plain data. Positions are metres in a local plane, times seconds, costs in currency."""

import math
from dataclasses import dataclass

EARTH_M_PER_DEGREE = 111_320.0
OWN_FLEET = "own-fleet"
MINUTE_COST = 0.020  # what a minute of the customer's time is worth, usually


@dataclass(frozen=True, slots=True)
class Point:
    lat: float
    lng: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    One order to be delivered.

    :param pickup: None if the kitchen's place is not known
    :param wish: the customer's channel: own_fleet, partner, pickup or None
    :param without: channels that are not to be asked
    :param needs: what a courier of ours must have; partners see to that themselves
    """

    run_id: int
    tenant_id: str
    pickup: Point | None
    dropoff: Point
    prep_s: float
    wish: str | None
    without: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """One of our own couriers, with the orders he can still take."""

    id: str
    tenant_id: str
    at: Point
    free: int
    has: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """
    A delivery partner's tariff and pace.

    :param base_fee: with whatever else speaks against him, in money
    :param orders_per_hour: as many as he takes; None is no limit
    """

    name: str
    base_fee: float
    per_km: float
    speed_m_per_s: float
    orders_per_hour: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """:param minute_cost: what a minute of the customer's time is worth"""

    jobs: tuple[Job, ...]
    couriers: tuple[Courier, ...]
    partners: tuple[Partner, ...]
    minute_cost: float = MINUTE_COST


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """
    Who shall deliver one order.

    :param ranking: channels to ask, best first: partner names, and the own fleet, which comes first or last
    :param courier: the provisional courier, if the own fleet is in the ranking
    :param eta_s: seconds until the door, if the first of the ranking takes it
    :param cost: of the first of the ranking, with the customer's time in it
    :param offers: every channel that could take it, with its cost and its seconds until the door
    """

    run_id: int
    ranking: tuple[str, ...]
    courier: str | None
    eta_s: float
    cost: float
    offers: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """:param fallback: whether the solver gave no plan and each order took its own best"""

    assignments: tuple[Assignment, ...]
    fallback: bool


def metres(a: Point, b: Point) -> float:
    """Distance in a local plane: good to a percent within a city."""
    dy = (a.lat - b.lat) * EARTH_M_PER_DEGREE
    dx = (a.lng - b.lng) * EARTH_M_PER_DEGREE * math.cos(math.radians(a.lat))
    return math.hypot(dx, dy)
