"""
How good forecasts of demand are: `python -m benchmarks.demand`.

Makes orders of a city by zone and hour, from a seed: lunch and dinner, busy weekends (Thursday to Saturday), a level
that drifts, rain that comes and goes for all zones, and Poisson chance. Prints the backtest of the last 14 days.
"""

import math
import random
import sys
import time
from collections.abc import Sequence

from app.forecasting import model
from app.forecasting.model import DAY, WEEK

_WEEKEND = (0, 1, 2)  # of days counted from the epoch, which was a Thursday
_RAIN_SHARE, _RAIN_MORE = 0.1, 1.25


def city(rng: random.Random, *, zones: int, weeks: int, last_hour: int) -> list[list[int]]:
    """Orders of each zone by hour; all end with that hour."""
    hours = range(last_hour - weeks * WEEK + 1, last_hour + 1)
    rain, level = _rain(rng, len(hours)), _drift(rng, weeks)
    found = []
    for _ in range(zones):
        size, evening = rng.uniform(4, 40), rng.uniform(0.8, 1.6)
        found.append(
            [
                _poisson(rng, size * _shape(hour, evening) * level[n // WEEK] * rain[n])
                for n, hour in enumerate(hours)
            ]
        )
    return found


def main() -> int:
    """Print the backtest, and what the forecasts took."""
    last_hour = 20_500 * DAY - 1
    histories = city(
        random.Random(1),  # noqa: S311 - reproducible demand, not a secret
        zones=30,
        weeks=12,
        last_hour=last_hour,
    )
    began = time.process_time()
    found = model.backtest(histories, last_hour, days=14)
    if found is None:
        return 1
    sys.stdout.write(
        f"30 zones, 12 weeks, backtest of {found.days} days ({found.hours} zone hours)\n"
        f"error          {found.error:.2f} orders per zone and hour, {found.share:.1%} of the demand\n"
        f"seasonal naive {found.naive_error:.2f} orders per zone and hour, {found.naive_share:.1%}\n"
        f"covered        {found.covered:.1%} of hours by their 80 % interval\n"
        f"CPU            {time.process_time() - began:.1f} s\n"
    )
    return 0


def _shape(hour: int, evening: float) -> float:
    of_day, weekend = hour % DAY, (hour // DAY) % 7 in _WEEKEND
    lunch = math.exp(-(((of_day - 12.5) / 1.5) ** 2))
    dinner = evening * math.exp(-(((of_day - 20) / 2) ** 2))
    return (0.05 + lunch + dinner) * (1.35 if weekend else 1.0)


def _rain(rng: random.Random, hours: int) -> Sequence[float]:
    rain, found = False, []
    for _ in range(hours):
        if rng.random() < (0.25 if rain else 0.25 * _RAIN_SHARE / (1 - _RAIN_SHARE)):
            rain = not rain
        found.append(_RAIN_MORE if rain else 1.0)
    return found


def _drift(rng: random.Random, weeks: int) -> Sequence[float]:
    level, found = 1.0, []
    for _ in range(weeks):
        level *= 1 + rng.gauss(0.01, 0.03)
        found.append(level)
    return found


def _poisson(rng: random.Random, mean: float) -> int:
    """Knuth's method; means here are small."""
    threshold, count, product = math.exp(-mean), 0, rng.random()
    while product > threshold:
        count += 1
        product *= rng.random()
    return count


if __name__ == "__main__":
    sys.exit(main())
