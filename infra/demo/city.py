"""
A seeded city in Bahrain: the same seed and size give the same city and the same orders, byte for byte.

Prices are whole fils, so that the sums of an order add up exactly.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.fleet.service import CourierEntry
from app.restaurants.service import RestaurantEntry

CENTRE_LAT, CENTRE_LNG = 26.22, 50.58
CURRENCY = "BHD"
SPREAD_M = 2_500.0  # standard deviation of where people live and kitchens are
METRES_PER_DEGREE = 111_320.0
SLOT_CAPACITY = 1_000_000  # per quarter of an hour: a demo is not about full kitchens
BASKETS_PER_RESTAURANT = 8
DELIVERY_FEES_FILS = (0, 300, 500, 700)

# Magic that the sandbox understands, at the end of a customer's id.
REFUSED_BY_PAYMENT = "payment:refuse"
REFUSED_BY_PARTNERS = "delivery:refuse"

_DISHES = (
    *("Machboos", "Muhammar", "Shawarma", "Falafel", "Saloona", "Harees", "Kebab", "Balaleet"),
    *("Margherita", "Biryani", "Fattoush", "Hummus", "Samboosa", "Kunafa", "Karak", "Lemon and mint"),
)
_QUARTERS = ("Manama", "Juffair", "Adliya", "Seef", "Gudaibiya", "Hoora", "Muharraq", "Sanabis")


@dataclass(frozen=True, slots=True)
class Order:
    """
    One order to submit.

    :param label: its name in reports, unique in the run
    :param body: the JSON document, as it is sent
    """

    label: str
    body: bytes


@dataclass(frozen=True, slots=True)
class _Basket:
    """Items, fees and total of an order as the inner part of a JSON object."""

    restaurant_id: str
    inner: str


@dataclass(frozen=True, slots=True)
class City:
    """Restaurants and couriers to make known, and what orders are drawn from."""

    seed: int
    restaurants: tuple[RestaurantEntry, ...]
    couriers: tuple[CourierEntry, ...]
    baskets: tuple[_Basket, ...]
    homes: tuple[str, ...]  # delivery locations as JSON


def city(seed: int, *, restaurants: int = 120, couriers: int = 150, customers: int = 2_000) -> City:
    """Build the city."""
    rng = random.Random(f"{seed}:city")  # noqa: S311 - a reproducible city, not a secret
    kitchens = tuple(
        RestaurantEntry(
            id=f"kitchen-{seed}-{n:03}",
            at=position(rng.gauss(0, SPREAD_M), rng.gauss(0, SPREAD_M)),
            slot_capacity=SLOT_CAPACITY,
            prep_minutes=float(rng.randint(8, 20)),
        )
        for n in range(restaurants)
    )
    riders = tuple(
        CourierEntry(id=f"rider-{seed}-{n:03}", at=position(rng.gauss(0, SPREAD_M), rng.gauss(0, SPREAD_M)))
        for n in range(couriers)
    )
    baskets = tuple(
        _Basket(kitchen.id, _basket(rng)) for kitchen in kitchens for _ in range(BASKETS_PER_RESTAURANT)
    )
    homes = tuple(_home(rng) for _ in range(customers))
    return City(seed, kitchens, riders, baskets, homes)


def orders(place: City, count: int, *, failure_rate: float = 0.0) -> Iterator[Order]:
    """
    Orders of the city's customers; each is made when it is asked for.

    :param failure_rate: share that is refused for good: every other one by payment, the rest by every partner
    """
    rng = random.Random(f"{place.seed}:orders:{count}")  # noqa: S311 - a reproducible city, not a secret
    fates = dict(_fates(rng, count, failure_rate))
    for n in range(count):
        customer = int(rng.random() * len(place.homes))
        basket = place.baskets[int(rng.random() * len(place.baskets))]
        magic = fates.get(n, "")
        # Our own fleet is not played by the sandbox and would take the order.
        wish = ',"channel_preference":"partner"' if magic == REFUSED_BY_PARTNERS else ""
        body = (
            f'{{"customer_id":"demo-{customer}{"/" if magic else ""}{magic}",'
            f'"restaurant_id":"{basket.restaurant_id}",{basket.inner},'
            f'"delivery_location":{place.homes[customer]}{wish}}}'
        )
        yield Order(f"order {n + 1}", body.encode())


def position(east_m: float, north_m: float) -> tuple[float, float]:
    """Latitude and longitude of a place, given in metres from the city's centre."""
    lat = CENTRE_LAT + north_m / METRES_PER_DEGREE
    lng = CENTRE_LNG + east_m / (METRES_PER_DEGREE * math.cos(math.radians(CENTRE_LAT)))
    return round(lat, 6), round(lng, 6)


def bhd(fils: int) -> str:
    """An amount in dinars: 1250 fils are "1.250"."""
    return f"{fils // 1000}.{fils % 1000:03}"


def _fates(rng: random.Random, count: int, failure_rate: float) -> Iterator[tuple[int, str]]:
    failing = rng.sample(range(count), round(count * failure_rate))
    for turn, n in enumerate(failing):
        yield n, (REFUSED_BY_PAYMENT, REFUSED_BY_PARTNERS)[turn % 2]


def _basket(rng: random.Random) -> str:
    lines: Sequence[str] = rng.sample(_DISHES, rng.randint(1, 4))
    total = 0
    items = []
    for dish in lines:
        price, quantity = rng.randrange(300, 6_000, 50), rng.choice((1, 1, 1, 2, 2, 3))
        total += price * quantity
        sku = dish.lower().replace(" ", "-")
        items.append({"sku": sku, "name": dish, "quantity": quantity, "unit_price": bhd(price)})
    fee = rng.choice(DELIVERY_FEES_FILS)
    basket: dict[str, object] = {"items": items}
    if fee:
        basket["fees"] = [{"name": "delivery", "amount": bhd(fee)}]
    basket |= {"total_amount": bhd(total + fee), "currency": CURRENCY}
    return json.dumps(basket, separators=(",", ":"))[1:-1]


def _home(rng: random.Random) -> str:
    lat, lng = position(rng.gauss(0, SPREAD_M), rng.gauss(0, SPREAD_M))
    street = f"Road {rng.randint(1, 4000)}, Block {rng.randint(301, 436)}, {rng.choice(_QUARTERS)}"
    return json.dumps({"lat": lat, "lng": lng, "address": street}, separators=(",", ":"))
