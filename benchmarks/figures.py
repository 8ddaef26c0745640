"""Numbers from numbers: what parts of the bench have in common, without a clock or a process."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from statistics import fmean

LOOKS = 5  # in a quarter
GROWS_BY = 1.25  # what the last quarter may have more inside than the second
GROWS_BY_S = 0.1  # and seconds of arrivals above it: a few orders are no backlog


def percentile(ascending: Sequence[float], share: float) -> float | None:
    """The nearest rank; None of none."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)] if ascending else None


def milliseconds(ascending_s: Sequence[float]) -> dict[str, float | None]:
    """p50, p99 and max in milliseconds."""
    found = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    values = {name: percentile(ascending_s, share) for name, share in found.items()}
    return {name: None if value is None else round(value * 1e3, 1) for name, value in values.items()}


def throughput(ascending: Sequence[float]) -> float:
    """Ends a second between the first and the last tenth of them; 0 of too few."""
    tenth = len(ascending) // 10
    if not tenth or ascending[-tenth - 1] <= ascending[tenth]:
        return 0.0
    return (len(ascending) - 2 * tenth - 1) / (ascending[-tenth - 1] - ascending[tenth])


def inside(begins: Sequence[float], ends: Sequence[float], *, since: float, seconds: int) -> list[int]:
    """
    How many have begun and not ended at each full second.

    :param begins: ascending times, as `ends`
    """
    moments = [since + second for second in range(1, seconds + 1)]
    return [bisect_right(begins, moment) - bisect_right(ends, moment) for moment in moments]


def grows(backlog: Sequence[int], *, rate: float) -> bool:
    """
    Whether the last quarter has clearly more inside than the second: the first one is the start's.

    Of few looks nothing can be said: cohorts come and go in between.
    """
    quarter = len(backlog) // 4
    if quarter < LOOKS:
        return False
    early, late = fmean(backlog[quarter : 2 * quarter]), fmean(backlog[-quarter:])
    return late > early * GROWS_BY + rate * GROWS_BY_S


def rounded(value: float) -> float:
    """Three significant digits: more is not measured."""
    return float(f"{value:.3g}")
