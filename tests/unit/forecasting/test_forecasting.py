"""Forecasts of demand, as numbers: seasons are found, intervals hold what they promise, plans follow from them."""

import math
import random
from xml.etree import ElementTree

import pytest

from app.forecasting import model, plan, service
from app.forecasting.model import DAY, WEEK, Predicted
from benchmarks import demand

CHANCE = random.Random(7)  # noqa: S311 - reproducible demand, not a secret
LAST = 19_700 * DAY - 1  # an hour that ends a day


def season(weeks: int, *, growth: float = 0.0) -> list[int]:
    """No chance: ten times the weekday, and the hour on top; each week a bit more."""
    first = LAST - weeks * WEEK + 1
    return [
        round((10 * ((hour // DAY) % 7) + hour % DAY) * (1 + growth) ** ((hour - first) // WEEK))
        for hour in range(first, LAST + 1)
    ]


def test_a_season_without_chance_is_foreseen_exactly() -> None:
    whole = season(6)

    found = model.forecast(whole[:-WEEK], LAST - WEEK, WEEK)

    assert [each.expected for each in found] == pytest.approx(whole[-WEEK:])
    assert [(each.low, each.high) for each in found] == [
        (pytest.approx(actual), pytest.approx(actual)) for actual in whole[-WEEK:]
    ]


def test_the_level_follows_growth() -> None:
    whole = season(9, growth=0.1)

    found = model.forecast(whole[:-WEEK], LAST - WEEK, WEEK)

    assert sum(each.expected for each in found) == pytest.approx(sum(whole[-2 * WEEK : -WEEK]), rel=0.02)


@pytest.mark.parametrize("length", [0, 1, 5, DAY, WEEK - 1, WEEK, 2 * WEEK])
def test_a_short_history_still_gives_numbers(length: int) -> None:
    found = model.forecast([3] * length, LAST, 2 * DAY)

    assert len(found) == 2 * DAY
    assert all(0 <= each.low <= each.expected <= each.high for each in found)


def test_a_weekday_that_was_never_seen_is_as_the_hour_on_others() -> None:
    history = [hour % DAY for hour in range(LAST - 3 * DAY + 1, LAST + 1)]

    found = model.forecast(history, LAST, DAY)

    assert [each.expected for each in found] == list(range(DAY))


def test_the_backtest_beats_the_naive_forecast_and_covers_what_it_says() -> None:
    histories = demand.city(CHANCE, zones=6, weeks=10, last_hour=LAST)

    found = model.backtest(histories, LAST, days=7)

    assert found
    assert found.hours == 6 * WEEK
    assert found.error < 0.9 * found.naive_error
    assert 0.75 < found.covered < 0.95


@pytest.mark.parametrize(("weeks", "found"), [(2, False), (3, True)])
def test_a_backtest_needs_two_weeks_before_its_days(weeks: int, found: bool) -> None:
    assert (model.backtest([season(weeks)], LAST, days=7) is not None) is found


@pytest.mark.parametrize(
    ("high", "couriers", "slots"), [(0.0, 0, 0), (0.1, 1, 1), (2.5, 1, 3), (2.6, 2, 3), (25.0, 10, 25)]
)
def test_an_hour_needs_couriers_and_places_for_its_upper_end(high: float, couriers: int, slots: int) -> None:
    wanted = plan.hour(Predicted(0.0, 0.0, high))

    assert (wanted.couriers, wanted.slots) == (couriers, slots)


def test_machines_are_built_for_more_than_the_grown_peak() -> None:
    found = plan.resources([1800.0, 3600.0], growth=0.5)

    assert (found.peak, found.grown) == (1.0, 1.5)
    assert (found.compute, found.database, found.cache) == pytest.approx((2.25, 1.95, 1.8))


def test_intervals_are_as_wide_as_chance_was() -> None:
    calm, wild = [100] * (8 * WEEK), [CHANCE.choice((50, 150)) for _ in range(8 * WEEK)]

    (steady,), (unsteady,) = (model.forecast(history, LAST, 1) for history in (calm, wild))

    assert steady.high - steady.low == pytest.approx(0.0)
    assert unsteady.high - unsteady.low > math.sqrt(100) * 4


def test_the_picture_of_no_forecast_is_a_picture() -> None:
    assert ElementTree.fromstring(service.picture(None)).tag.endswith("svg")
