"""The day as it happens: who is where, what was fetched and when it was at the door."""

import math
from dataclasses import dataclass, field, replace

from app.optimization.pool.model import Courier, Spot
from app.optimization.pool.preparation import Foretold, History
from infra.demo.recording import Placed
from infra.simulation.instance import Instance, door


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """
    One bundle on its way.

    :param doors: when each order was at its door, in the order of doors
    """

    assigned: int
    pickup: int
    courier: str
    orders: tuple[Placed, ...]
    doors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Leg:
    """One ride; places are named by ids of couriers, restaurants and orders."""

    departure: int
    origin: str
    destination: str


@dataclass(slots=True)
class _Place:
    name: str
    legs: list[Leg] = field(default_factory=list)


class World:
    """
    :param prep_known: whether it is known from placement on when a meal will be ready, or only once it is
    """

    def __init__(self, instance: Instance, *, prep_known: bool = True) -> None:
        self.instance = instance
        self.now = instance.orders[0].minute if instance.orders else 0
        self.open: dict[str, Placed] = {}
        self.couriers = {
            rider.id: Courier(
                id=rider.id, at=Spot(rider.x, rider.y), free_at=rider.on_minute, off_at=rider.off_minute
            )
            for rider in instance.riders
        }
        self.fetched: list[Fetched] = []
        self._places = {rider.id: _Place(rider.id) for rider in instance.riders}
        self._coming = list(reversed(instance.orders))
        self._cooking: list[Placed] = []
        self._prep_known = prep_known
        self._history = History()

    @property
    def over(self) -> bool:
        """Whether nothing more can come of it."""
        last = max((courier.off_at for courier in self.couriers.values()), default=0)
        return not (self._coming or self.open) or (self.now > last and not self._coming)

    def reveal(self) -> None:
        """What is placed and what is ready by now."""
        while self._coming and self._coming[-1].minute <= self.now:
            order = self._coming.pop()
            self.open[order.id] = order
            self._cooking.append(order)
        for order in [order for order in self._cooking if order.ready_minute <= self.now]:
            self._cooking.remove(order)
            self._history.add(order.restaurant, order.ready_minute - order.minute)

    def ready(self, order: Placed) -> Foretold:
        """When it is ready, as far as is known."""
        if self._prep_known or order.ready_minute <= self.now:
            return Foretold(order.ready_minute, 0.0)
        return self._history.foretold(order.restaurant, placed=order.minute, now=self.now)

    def ride_min(self, a: Spot, b: Spot) -> int:
        return math.ceil(math.hypot(a.x - b.x, a.y - b.y) / self.instance.pace.metres_per_min - 1e-9)

    def ride(self, courier_id: str, kitchen: str) -> None:
        """He sets out now."""
        courier, spot = self.couriers[courier_id], self.instance.kitchens[kitchen]
        arrival = self.now + self.ride_min(courier.at, spot)
        self._leg(courier_id, self.now, kitchen)
        self.couriers[courier_id] = replace(
            courier, at=spot, free_at=arrival, kitchen=kitchen, arrived_at=arrival
        )

    def fetch(self, courier_id: str, order_ids: tuple[str, ...], *, assigned: int) -> None:
        """He has them as soon as he has been there long enough and all are ready, and brings them all."""
        orders = tuple(self.open.pop(id) for id in order_ids)
        hand = int(self.instance.pace.hand_min)
        courier = self.couriers[courier_id]
        ready = max(order.ready_minute for order in orders)
        pickup = clock = max(ready, int(courier.arrived_at) + hand, self.now)
        at, doors = courier.at, []
        for order in orders:
            clock += hand
            self._leg(courier_id, clock, order.id)
            clock += self.ride_min(at, door(order)) + hand
            doors.append(clock)
            at = door(order)
        self.couriers[courier_id] = replace(
            courier, at=at, free_at=clock + hand, kitchen=None, arrived_at=0.0
        )
        self.fetched.append(
            Fetched(assigned=assigned, pickup=pickup, courier=courier_id, orders=orders, doors=tuple(doors))
        )

    def legs(self, courier_id: str) -> list[Leg]:
        return self._places[courier_id].legs

    def _leg(self, courier_id: str, departure: int, to: str) -> None:
        place = self._places[courier_id]
        if place.name != to:
            place.legs.append(Leg(departure, place.name, to))
            place.name = to
