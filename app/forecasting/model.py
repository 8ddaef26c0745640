"""
Demand by zone and hour: a profile of weekday and hour, with intervals from empirical quantiles.

For each zone the mean of the past weeks at this weekday and hour, later weeks weighing more, is scaled by how the
latest week compares with them. The interval comes from how far such forecasts were off in the past: their errors, each
divided by the square root of what was forecast (counts scatter so), have quantiles, those of quiet and of busy hours
apart, and these widen the next forecast. Pure functions from counts to numbers; hours are whole hours since 1970.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DAY, WEEK = 24, 168
WEEKS_AT_MOST = 8
COVERAGE = 0.8
_WEEK_BEFORE = 0.9  # weight of a week over that of the next one
_LEVEL_BETWEEN = (0.5, 2.0)  # one odd week does not halve or double everything any further
_SCATTER_WEEKS = 3
_QUANTILES = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
_POISSON = (-1.2816, 1.2816)  # where nothing was ever forecast: the normal distribution's

Series = Sequence[int]  # orders per hour, the latest last


@dataclass(frozen=True, slots=True)
class Predicted:
    """Orders of one zone in one hour; in 80 % of hours there are between `low` and `high`."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """
    How good forecasts of the next day were, made as if each of the last days lay ahead.

    Errors are mean absolute errors in orders per zone and hour; `naive` is the same hour a week before. `share` is the
    error over the mean demand; `covered` is the share of hours within their interval, at best 0.8.
    """

    days: int
    hours: int
    error: float
    naive_error: float
    share: float
    naive_share: float
    covered: float


def forecast(history: Series, last_hour: int, hours: int) -> list[Predicted]:
    """
    The hours after the last one of the history.

    :param last_hour: the hour that ends the history
    """
    profile, scatter = _Profile(history, last_hour), _Scatter(history, last_hour)
    return [scatter.around(profile.expected(hour)) for hour in range(last_hour + 1, last_hour + 1 + hours)]


def backtest(histories: Iterable[Series], last_hour: int, *, days: int) -> Backtest | None:
    """
    Forecast each of the last days from what was known before it; None with less than two weeks before them.

    :param histories: of each zone, all ending with that hour
    """
    total = wrong = naive_wrong = 0.0
    covered = count = 0
    for history in histories:
        for day in range(days, 0, -1):
            cut = len(history) - day * DAY
            if cut < 2 * WEEK:
                continue
            predicted = forecast(history[:cut], last_hour - day * DAY, DAY)
            for n, each in enumerate(predicted):
                actual = history[cut + n]
                total += actual
                wrong += abs(actual - each.expected)
                naive_wrong += abs(actual - history[cut + n - WEEK])
                covered += round(each.low) <= actual <= round(each.high)
                count += 1
    if not count:
        return None
    return Backtest(
        days=days,
        hours=count,
        error=wrong / count,
        naive_error=naive_wrong / count,
        share=wrong / max(total, 1.0),
        naive_share=naive_wrong / max(total, 1.0),
        covered=covered / count,
    )


class _Profile:
    """The mean by weekday and hour of the past weeks, at the level of the latest one."""

    def __init__(self, history: Series, last_hour: int) -> None:
        recent = history[-WEEKS_AT_MOST * WEEK :]
        first = last_hour - len(recent) + 1
        sums, weights = [0.0] * WEEK, [0.0] * WEEK
        for n, orders in enumerate(recent):
            weight = _WEEK_BEFORE ** ((len(recent) - 1 - n) // WEEK)
            sums[(first + n) % WEEK] += weight * orders
            weights[(first + n) % WEEK] += weight
        self._usual = sum(recent) / max(len(recent), 1)
        self._means = [s / w if w else None for s, w in zip(sums, weights, strict=True)]
        days = {hour: sum(weights[hour::DAY]) for hour in range(DAY)}
        self._by_hour = {hour: sum(sums[hour::DAY]) / weight for hour, weight in days.items() if weight}
        self._level = _level(recent, sum(mean for mean in self._means if mean))

    def expected(self, hour: int) -> float:
        """Of a weekday and hour that was never seen, what the hour has on other days."""
        mean = self._means[hour % WEEK]
        if mean is None:
            mean = self._by_hour.get(hour % DAY, self._usual)
        return mean * self._level


def _level(recent: Series, usual_week: float) -> float:
    """The latest week over the usual one; 1 as long as there is no more than one."""
    if len(recent) < 2 * WEEK or not usual_week:
        return 1.0
    low, high = _LEVEL_BETWEEN
    return min(high, max(low, sum(recent[-WEEK:]) / usual_week))


class _Scatter:
    """How far forecasts of the last weeks were off, in square roots of what was forecast; quiet hours and busy ones."""

    def __init__(self, history: Series, last_hour: int) -> None:
        off: list[tuple[float, float]] = []
        for week in range(_SCATTER_WEEKS, 0, -1):
            cut = len(history) - week * WEEK
            if cut < WEEK:
                continue
            end = last_hour - week * WEEK
            profile = _Profile(history[:cut], end)
            for n, actual in enumerate(history[cut : cut + WEEK], start=1):
                expected = profile.expected(end + n)
                off.append((expected, (actual - expected) / math.sqrt(expected + 0.5)))
        self._busy = sum(expected for expected, _ in off) / max(len(off), 1)
        self._quantiles = {
            busy: _quantiles([error for expected, error in off if (expected > self._busy) is busy])
            for busy in (False, True)
        }

    def around(self, expected: float) -> Predicted:
        low, high = self._quantiles[expected > self._busy]
        spread = math.sqrt(expected + 0.5)
        return Predicted(
            expected,
            min(expected, max(0.0, expected + low * spread)),
            max(expected, expected + high * spread),
        )


def _quantiles(errors: list[float]) -> tuple[float, float]:
    if not errors:
        return _POISSON
    errors.sort()
    low, high = (errors[min(len(errors) - 1, int(q * len(errors)))] for q in _QUANTILES)
    return low, high
