"""
What an order costs at list prices: measured CPU an order, spread over services that can be rented.

Up to the measured maximum the CPU an order is read off the load curve; above it, as many such pieces stand side by
side as are needed, each at the maximum. Databases are in every piece: nothing is assumed to be shared.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

PRICES = Path(__file__).with_name("prices.json")
VOLUMES = (100, 1_000, 5_000, 50_000)  # orders a second
EVENTS_PER_ORDER = 2
GROWTH_EXPLAINED_ABOVE = 0.1
ALLOWED_USD = 0.05
_DAYS_A_MONTH = 30.4
_TIERS = {
    "compute": ("API", "workers, beat", "supervisor, Flower"),
    "postgres": ("Postgres",),
    "redis": ("Redis",),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """
    At one volume.

    :param vcpus: rented, by service; of all copies
    :param usd: of an order, by service
    """

    orders_per_s: int
    pieces: int
    vcpus: Mapping[str, int]
    usd: Mapping[str, float]

    @property
    def usd_per_order(self) -> float:
        return sum(self.usd.values())

    @property
    def vcpu_hours_per_order(self) -> float:
        return sum(self.vcpus.values()) / (self.orders_per_s * 3600)


def prices() -> dict[str, Any]:
    """The table, as it stands in prices.json."""
    found: dict[str, Any] = json.loads(PRICES.read_text())
    return found


def at(
    volume: int, curve: Sequence[Mapping[str, Any]], kb_per_order: float, priced: Mapping[str, Any]
) -> Cost:
    """
    The cost of an order at so many orders a second.

    :param curve: points with `rate` and `cpu_ms` by group of processes, ascending by rate
    :param kb_per_order: of Postgres' storage
    """
    most = curve[-1]["rate"]
    pieces = max(1, math.ceil(volume / most))
    vcpus, usd = {}, {}
    for tier, groups in _TIERS.items():
        spent_ms = sum(cpu_ms(curve, volume / pieces, group) for group in groups)
        copies = priced[tier].get("copies", 1)
        busy = volume * spent_ms / 1e3 / priced["utilisation"]
        vcpus[tier] = max(_even(busy), priced[tier]["least_vcpus"] * pieces) * copies
        usd[tier] = vcpus[tier] * priced[tier]["vcpu_hour_usd"] / (volume * 3600)
    vcpus["kafka"] = max(
        _even(volume * EVENTS_PER_ORDER / priced["kafka"]["events_per_vcpu_s"]),
        priced["kafka"]["least_vcpus"],
    )
    usd["kafka"] = vcpus["kafka"] * priced["kafka"]["vcpu_hour_usd"] / (volume * 3600)
    months = priced["storage"]["kept_days"] / _DAYS_A_MONTH
    usd["storage"] = kb_per_order / 2**20 * priced["storage"]["gb_month_usd"] * months
    balancer = priced["load_balancer"]
    units = volume * 3600 * balancer["kb_per_order"] / 2**20
    usd["load balancer"] = (balancer["hour_usd"] + units * balancer["lcu_hour_usd"]) / (volume * 3600)
    return Cost(volume, pieces, vcpus, usd)


def growth(
    volume: int, curve: Sequence[Mapping[str, Any]], kb_per_order: float, priced: Mapping[str, Any]
) -> float:
    """By what share an order costs more at ten times the volume; negative: less."""
    now, then = (at(v, curve, kb_per_order, priced).usd_per_order for v in (volume, 10 * volume))
    return then / now - 1


def cpu_ms(curve: Sequence[Mapping[str, Any]], rate: float, group: str) -> float:
    """
    CPU of an order at so many a second.

    Between two measured points along a straight line of the logarithms; outside, the nearest point's.
    """
    known = [(math.log(point["rate"]), point["cpu_ms"].get(group, 0.0)) for point in curve]
    wanted = math.log(rate)
    if wanted <= known[0][0]:
        return float(known[0][1])
    for (x0, y0), (x1, y1) in pairwise(known):
        if wanted <= x1:
            return float(y0 + (y1 - y0) * (wanted - x0) / (x1 - x0)) if x1 > x0 else float(y1)
    return float(known[-1][1])


def _even(vcpus: float) -> int:
    return 2 * math.ceil(vcpus / 2)
