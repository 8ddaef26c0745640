"""What was promised of speed, and whether it holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.pages import shown, table
from benchmarks.parts.door import LOADS

Found = Mapping[str, Any]
_PEERS = {"celery": ("plain Celery", 25, 60), "dbos": ("DBOS", 40, 100), "restate": ("Restate", 12, 35)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    :param at: the figure, out of what all parts have found; raises LookupError where it was not measured
    :param most: whether it should be at most `must`; else at least
    """

    what: str
    unit: str
    must: float
    aim: float
    at: Callable[[Found], float]
    most: bool = True

    def verdict(self, value: float) -> str:
        if self._holds(value, self.aim):
            return "aim held"
        return "held" if self._holds(value, self.must) else "**missed**"

    def _holds(self, value: float, bound: float) -> bool:
        return value <= bound if self.most else value >= bound


def _point(found: Found, rate: float) -> Mapping[str, Any]:
    points: list[Mapping[str, Any]] = found["load_curve"]["points"]
    at = {point["rate"]: point for point in points}
    return at[rate]


def _peer(name: str) -> Target:
    title, must, aim = _PEERS[name]
    return Target(
        what=f"CPU of an order, {title} against ours, same no-op work, at saturation",
        unit="times",
        must=must,
        aim=aim,
        at=lambda found: (
            found["peers"][name]["cpu_ms_per_order"] / found["peers"]["uoop-noop"]["cpu_ms_per_order"]
        ),
        most=False,
    )


TARGETS = (
    Target(
        what="accept, single POSTs, all checks on, durable",
        unit="requests/s",
        must=3_500,
        aim=6_000,
        at=lambda found: found["accept"]["saturated"]["rps"],
        most=False,
    ),
    Target(
        what="submission p99 at 70 % load",
        unit="ms",
        must=100,
        aim=50,
        at=lambda found: found["accept"]["at_70_percent"]["p99_ms"],
    ),
    Target(
        what="submission p99 at saturation",
        unit="ms",
        must=2_000,
        aim=1_000,
        at=lambda found: found["accept"]["saturated"]["p99_ms"],
    ),
    *(
        Target(
            what=f"what the front door adds {load}: identity, limits, validation, idempotency",
            unit="µs of CPU a request",
            must=60,
            aim=60,
            at=lambda found, load=load: found["door"]["doors"][load]["adds_us"],
        )
        for load in LOADS
    ),
    Target(
        what="submission p99 with 1,000 clients waiting: growth",
        unit="%",
        must=25,
        aim=25,
        at=lambda found: found["door"]["grows_percent"],
    ),
    Target(
        what="20 orders/s, POST to CONFIRMED p50",
        unit="ms",
        must=150,
        aim=60,
        at=lambda found: _point(found, 20.0)["p50_ms"],
    ),
    Target(
        what="20 orders/s, POST to CONFIRMED p99",
        unit="ms",
        must=500,
        aim=200,
        at=lambda found: _point(found, 20.0)["p99_ms"],
    ),
    Target(
        what="idle, everything up",
        unit="% of a core",
        must=5,
        aim=2,
        at=lambda found: found["idle"]["percent_of_a_core"],
    ),
    Target(
        what="end to end, sustained, bulk providers, Redis and Kafka",
        unit="orders/s",
        must=2_200,
        aim=3_500,
        at=lambda found: _sustained(found, "bulk"),
        most=False,
    ),
    Target(
        what="its p99",
        unit="ms",
        must=2_000,
        aim=1_000,
        at=lambda found: found["end_to_end"]["bulk"]["p99_ms"],
    ),
    Target(
        what="the same, single-order endpoints only",
        unit="orders/s",
        must=900,
        aim=1_300,
        at=lambda found: _sustained(found, "single"),
        most=False,
    ),
    Target(
        what="CPU of an order, real steps",
        unit="ms",
        must=0.75,
        aim=0.45,
        at=lambda found: found["end_to_end"]["bulk"]["cpu_ms"]["platform"],
    ),
    Target(
        what="CPU of an order, no-op steps",
        unit="ms",
        must=0.45,
        aim=0.30,
        at=lambda found: found["peers"]["uoop-noop"]["cpu_ms_per_order"],
    ),
    *map(_peer, _PEERS),
    Target(
        what="CPU of an order at 100 orders/s",
        unit="ms",
        must=8,
        aim=4,
        at=lambda found: _point(found, 100.0)["cpu_ms"]["platform"],
    ),
    Target(
        what="whole system at 20 orders/s",
        unit="cores",
        must=0.5,
        aim=0.25,
        at=lambda found: _point(found, 20.0)["cores"],
    ),
    Target(
        what="poll with ETag",
        unit="requests/s",
        must=10_000,
        aim=20_000,
        at=lambda found: found["poll"]["still"]["rps"],
        most=False,
    ),
    Target(
        what="batch submit",
        unit="orders/s",
        must=12_000,
        aim=25_000,
        at=lambda found: max(size["orders_per_s"] for size in found["batch"].values()),
        most=False,
    ),
    Target(
        what="overload at three times the maximum: goodput",
        unit="% of the maximum",
        must=90,
        aim=93,
        at=lambda found: found["overload"]["share"] * 100,
        most=False,
    ),
    Target(
        what="memory and open files over a quarter of an hour: processes that grow",
        unit="",
        must=0,
        aim=0,
        at=lambda found: len(found["soak"]["broken"]),
    ),
)


def told(found: Found) -> str:
    """A table of all targets, in Markdown."""
    return table(["", "must", "aim", "measured", ""], [_row(target, found) for target in TARGETS])


def _row(target: Target, found: Found) -> list[object]:
    bound = "at most" if target.most else "at least"
    row: list[object] = [
        target.what,
        f"{bound} {shown(target.must)} {target.unit}".rstrip(),
        shown(target.aim),
    ]
    try:
        value = target.at(found)
    except LookupError:
        return [*row, None, "not measured"]
    return [*row, shown(value), target.verdict(value)]


def _sustained(found: Found, mix: str) -> float:
    """The rate that was kept up; 0 if none that was tried was."""
    told: Mapping[str, Any] = found["end_to_end"][mix]
    return float(told["rate"]) if told["sustained"] else 0.0
