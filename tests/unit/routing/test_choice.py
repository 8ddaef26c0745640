"""What speaks against a partner besides his tariff, and how a decision is told."""

import pytest

from app.optimization.assign import assign
from app.optimization.model import Courier, Job, Partner, Point, Problem
from app.routing import choice
from app.routing.breaker import BreakerState
from app.routing.choice import USUAL, PassedOver, Rated, RoutingView, Weights
from app.routing.figures import Figures

HERE = Point(26.2, 50.6)
CHEAP = Partner(name="cheap", base_fee=0.4, per_km=0.1, speed_m_per_s=4.0, orders_per_hour=100)
FAST = Partner(name="fast", base_fee=0.7, per_km=0.1, speed_m_per_s=9.0)
WELL = Figures(calls=1000, delivered=1000, on_time=900)


def decided(
    *,
    weights: Weights = USUAL,
    figures: Figures = WELL,
    state: BreakerState = BreakerState.CLOSED,
    couriers: tuple[Courier, ...] = (),
    wish: str | None = None,
) -> RoutingView:
    """The decision on one order between the two, the cheap one being as told."""
    rated = [
        choice.rate(CHEAP, weights, figures, state),
        choice.rate(FAST, weights, WELL, BreakerState.CLOSED),
    ]
    job = Job(run_id=7, tenant_id="a", pickup=HERE, dropoff=Point(26.21, 50.61), prep_s=600.0, wish=wish)
    minute_cost = 0.02 * weights.time / weights.cost
    problem = Problem(
        jobs=(job,), couriers=couriers, partners=tuple(r.partner for r in rated), minute_cost=minute_cost
    )
    told = choice.told(assign(problem).assignments, rated, weights, minute_cost)
    found = choice.explained(1, [told | {"weights": {}}], 7)
    assert found
    return found


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, "cheap"),
        ({"weights": Weights(time=10)}, "fast"),
        ({"figures": Figures(calls=1000, failed=500, delivered=1000, on_time=900)}, "fast"),
        ({"figures": Figures(calls=1000, delivered=1000, on_time=100)}, "fast"),
        ({"figures": Figures(calls=1000, failed=500), "weights": Weights(health=0)}, "cheap"),
        ({"figures": Figures(calls=1000, taken_in_hour=100, delivered=1000, on_time=900)}, "fast"),
        ({"state": BreakerState.OPEN}, "fast"),
        ({"state": BreakerState.HALF_OPEN, "figures": Figures(calls=100, failed=100)}, "cheap"),
    ],
    ids=str,
)
def test_each_term_can_turn_the_choice(changes: dict[str, object], chosen: str) -> None:
    assert decided(**changes).candidates[0].channel == chosen  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"state": BreakerState.OPEN}, PassedOver.BREAKER_OPEN),
        ({"figures": Figures(taken_in_hour=100)}, PassedOver.FULL),
        ({"weights": Weights(time=10)}, PassedOver.DEARER),
    ],
    ids=str,
)
def test_it_is_told_why_another_was_passed_over(changes: dict[str, object], why: PassedOver) -> None:
    first, second = decided(**changes).candidates  # type: ignore[arg-type]

    assert (first.passed_over, second.passed_over) == (None, why)


def test_the_terms_add_up_to_the_score() -> None:
    for each in decided(figures=Figures(calls=10, failed=3, taken_in_hour=50)).candidates:
        assert each.score is not None
        assert each.score == pytest.approx(each.fee + each.time + each.health + each.load, abs=0.002)  # type: ignore[operator]
    assert decided().candidates[0].fee == pytest.approx(0.4 + 0.1 * 1.494, abs=0.01)


def test_a_courier_is_told_beside_the_partners_and_who_was_not_offered_too() -> None:
    ours = Courier(id="c", tenant_id="a", at=HERE, free=1)
    with_courier = {each.channel: each for each in decided(couriers=(ours,)).candidates}

    assert with_courier["own-fleet"].passed_over is None
    assert with_courier["cheap"].passed_over is PassedOver.DEARER


def test_a_run_of_another_cohort_is_not_told_of() -> None:
    rated: list[Rated] = []

    assert choice.explained(1, [choice.told((), rated, USUAL, 0.02)], 7) is None
