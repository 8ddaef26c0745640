"""The pool and its plan, as plain data. Positions are metres in a plane, times minutes from any one origin."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MOST_IN_A_BUNDLE = 3


@dataclass(frozen=True, slots=True)
class Spot:
    """A place, metres east and north."""

    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """
    How long things take.

    :param hand_min: between arriving and having (or giving) the meal, and as long again until leaving
    :param whole_minutes: whether a ride takes whole minutes, rounded up
    """

    metres_per_min: float
    hand_min: float = 2.0
    whole_minutes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    An order that nobody has fetched yet.

    :param kitchen: its name: only what comes from one kitchen travels in one bundle
    :param ready: when the meal is ready, as known or foretold
    :param spread_min: how far `ready` may be off: the courier leaves so much earlier, and the promise has an interval
    :param priority: how much one of its minutes weighs
    :param due: when it should be at the door: minutes after it weigh more. None: nothing is promised
    :param not_after: it is not delivered later. None: it is worth delivering at any time
    :param held_by: the courier that it had in the plan before
    :param pinned: whether it must stay with that courier
    :param needs: what its courier must have: a vehicle, a skill
    """

    id: str
    kitchen: str
    pickup: Spot
    door: Spot
    placed: float
    ready: float
    spread_min: float = 0.0
    priority: float = 1.0
    due: float | None = None
    not_after: float | None = None
    held_by: str | None = None
    pinned: bool = False
    needs: frozenset[str] = frozenset()
    refused_by: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """
    A courier and where he is next free.

    :param at: where he is, or where he will be at `free_at`
    :param free_at: from when on he can set out, the begin of his shift at the earliest
    :param off_at: he fetches nothing later than this
    :param kitchen: the kitchen that he stands at, or rides to, since or until `arrived_at`
    :param has: a vehicle, skills
    """

    id: str
    at: Spot
    free_at: float
    off_at: float
    kitchen: str | None = None
    arrived_at: float = 0.0
    max_orders: int = MOST_IN_A_BUNDLE
    has: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """
    What the plan weighs, in minutes of one customer's time, and the limits of bundles.

    :param left: what it costs to leave an order for later
    :param changed: what it costs to give an order to another courier than before
    :param later: what it costs that a trip is only the courier's second from now
    :param late: what a minute after `due` costs beside itself
    :param bag_min: no meal of a bundle is at its door later than this after it was ready, if the courier is in time
    :param detour_min: no meal of a bundle is this much later at the door than by a ride of its own
    :param apart_min: meals of a bundle are ready within this time
    """

    left: float = 200.0
    changed: float = 0.02
    later: float = 2.0
    late: float = 1.0
    largest_bundle: int = MOST_IN_A_BUNDLE
    bag_min: float = 45.0
    detour_min: float = 15.0
    apart_min: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """:param now: nothing begins earlier"""

    now: float
    orders: tuple[Order, ...]
    couriers: tuple[Courier, ...]
    pace: Pace
    terms: Terms = field(default_factory=Terms)


class Status(StrEnum):
    """How the plan was found."""

    OPTIMAL = "optimal"  # of the columns considered
    ROUNDED = "rounded"  # from an optimum in fractions
    MATCHED = "matched"  # bundles were chosen first, then given to couriers at the least cost
    GREEDY = "greedy"  # no solver gave anything


class Why(StrEnum):
    """Why an order has no courier."""

    NO_COURIER = "no-courier"  # none is on duty
    NOT_FIT = "not-fit"  # none has what it needs, or may have it
    NOT_IN_TIME = "not-in-time"  # none could fetch it before his shift ends, or the order's own end
    ALL_BUSY = "all-busy"  # others come first; it waits
    CAPPED = "capped"  # more orders than one plan takes: the oldest come first


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """
    One courier's next trip.

    :param orders: in the order of their doors
    :param leave_by: when he must set out for the kitchen so as not to be late
    :param doors: when he is at each door, in the order of `orders`
    :param within: the earliest and the latest that he may be there
    :param terms: what the cost, in weighed minutes, is made of
    :param next_best: who would have it otherwise, if anybody
    """

    courier: str
    kitchen: str
    orders: tuple[str, ...]
    leave_by: float
    pickup_at: float
    doors: tuple[float, ...]
    within: tuple[tuple[float, float], ...]
    free_at: float
    terms: Mapping[str, float]
    next_best: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    :param left: orders without a courier, and why
    :param fallback: whether the solver gave nothing in its time: a simpler plan stands, as `status` tells
    """

    trips: tuple[Trip, ...]
    left: Mapping[str, Why]
    status: Status
    solve_ms: float
    fallback: bool = False
