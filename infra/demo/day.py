"""
A recorded day as a scene of our city: its plane is laid around the city's centre.

Recordings tell no prices: each order is one meal at a price drawn from its id.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from statistics import fmean

from app.fleet.service import CourierEntry
from app.restaurants.service import RestaurantEntry
from infra.demo import city
from infra.demo.city import Order
from infra.demo.recording import Placed, Recording

CHEAPEST_FILS, DEAREST_FILS, PRICE_STEP_FILS = 1_500, 9_000, 50
NAME_LENGTH = 40


class Day:
    """What of the recording the platform sees. Ids carry the recording's name, so that days do not mix."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._name = recording.name[:NAME_LENGTH]
        self._middle = (
            fmean(kitchen.x for kitchen in recording.kitchens) if recording.kitchens else 0.0,
            fmean(kitchen.y for kitchen in recording.kitchens) if recording.kitchens else 0.0,
        )

    def offsets_s(self, speed: float) -> list[float]:
        """Seconds from the first order at which each order is placed."""
        return [self._seconds(placed.minute, speed) for placed in self._recording.orders]

    def restaurants(self) -> list[RestaurantEntry]:
        """The kitchens with their usual time to cook."""
        cooking: dict[str, list[int]] = {}
        for placed in self._recording.orders:
            cooking.setdefault(placed.restaurant, []).append(placed.ready_minute - placed.minute)
        return [
            RestaurantEntry(
                id=self._named(kitchen.id),
                at=self._position(kitchen.x, kitchen.y),
                slot_capacity=city.SLOT_CAPACITY,
                prep_minutes=fmean(cooking[kitchen.id]) if kitchen.id in cooking else None,
            )
            for kitchen in self._recording.kitchens
        ]

    def couriers(self, *, speed: float, start: datetime) -> list[CourierEntry]:
        """:param start: when the first order is sent: shifts fall around it as they fell that day"""
        return [
            CourierEntry(
                id=self._named(rider.id),
                at=self._position(rider.x, rider.y),
                on_from=start + timedelta(seconds=self._seconds(rider.on_minute, speed)),
                on_until=start + timedelta(seconds=self._seconds(rider.off_minute, speed)),
            )
            for rider in self._recording.riders
        ]

    def orders(self) -> Iterator[Order]:
        """The orders as documents, by the minute of their placement."""
        for placed in self._recording.orders:
            yield Order(f"orders.txt:{placed.line}", self._document(placed))

    def _document(self, placed: Placed) -> bytes:
        lat, lng = self._position(placed.x, placed.y)
        price = _price(placed.id)
        return json.dumps(
            {
                "customer_id": self._named(f"customer-{placed.id}"),
                "restaurant_id": self._named(placed.restaurant),
                "items": [{"sku": "meal", "name": "Meal", "quantity": 1, "unit_price": price}],
                "delivery_location": {"lat": lat, "lng": lng, "address": f"door of {placed.id}"},
                "total_amount": price,
                "currency": city.CURRENCY,
            }
        ).encode()

    def _seconds(self, minute: int, speed: float) -> float:
        first: Sequence[Placed] = self._recording.orders[:1]
        return (minute - (first[0].minute if first else 0)) * 60 / speed

    def _named(self, id: str) -> str:
        return f"{self._name}-{id}"

    def _position(self, x: float, y: float) -> tuple[float, float]:
        return city.position(x - self._middle[0], y - self._middle[1])


def _price(id: str) -> str:
    steps = (DEAREST_FILS - CHEAPEST_FILS) // PRICE_STEP_FILS
    return city.bhd(CHEAPEST_FILS + zlib.crc32(id.encode()) % steps * PRICE_STEP_FILS)
