"""When orders come: seconds after the start, ascending."""

import random
from collections.abc import Iterator, Sequence

LUNCH_FROM_MINUTE, LUNCH_UNTIL_MINUTE = 11 * 60 + 30, 13 * 60 + 30
LUNCH_PEAK_MINUTE = 12 * 60 + 20


def evenly(count: int, *, rate: float) -> Iterator[float]:
    """:param rate: orders per second"""
    return (index / rate for index in range(count))


def lunch(count: int, *, seconds: float, seed: int) -> Sequence[float]:
    """The lunch hours 11:30 to 13:30, rising to 12:20 and falling, compressed into `seconds`."""
    rng = random.Random(f"{seed}:lunch")  # noqa: S311 - a reproducible city, not a secret
    minutes = sorted(
        rng.triangular(LUNCH_FROM_MINUTE, LUNCH_UNTIL_MINUTE, LUNCH_PEAK_MINUTE) for _ in range(count)
    )
    scale = seconds / (LUNCH_UNTIL_MINUTE - LUNCH_FROM_MINUTE)
    return [(minute - LUNCH_FROM_MINUTE) * scale for minute in minutes]
