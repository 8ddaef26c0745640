"""The pace of groups: who comes soon after another waits for company, and nobody waits again and again in vain."""

import pytest

from app.orders.group_commit import AT_ONCE, IN_VAIN, Pace

PACE_S = 0.025


def waits(pace: Pace, size: int, *, at: float) -> float:
    """How long the one waits who comes at that moment; with him come so many that his group has this size."""
    wait_s = pace.wait_s(at)
    pace.begins(size, waited=wait_s > 0, now=at + wait_s)
    return wait_s


@pytest.mark.parametrize("size", [1, 2, 100])
def test_who_comes_soon_after_a_group_began_waits_for_the_rest_of_the_pace(size: int) -> None:
    pace = Pace(PACE_S)
    waits(pace, size, at=1.0)

    assert waits(pace, 1, at=1.010) == pytest.approx(PACE_S - 0.010)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_who_comes_a_pace_later_waits_for_nobody(size: int) -> None:
    pace = Pace(PACE_S)
    waits(pace, size, at=1.0)

    assert waits(pace, 1, at=1.0 + 2 * PACE_S) == 0


def alone_one_after_the_other(pace: Pace, count: int) -> list[bool]:
    """Who of so many was kept waiting, each of whom came when the one before had been answered."""
    at, kept = 1.0, []
    for _ in range(count):
        wait_s = waits(pace, 1, at=at)
        at += wait_s + 0.005
        kept.append(wait_s > 0)
    return kept


def test_who_is_always_alone_hardly_ever_waits() -> None:
    kept = alone_one_after_the_other(Pace(PACE_S), 1 + IN_VAIN + 2 * (AT_ONCE + 1))

    assert kept == [False] + [True] * IN_VAIN + 2 * ([False] * AT_ONCE + [True])


def test_once_several_come_together_groups_are_paced_again() -> None:
    pace = Pace(PACE_S)
    alone_one_after_the_other(pace, 1 + IN_VAIN)

    waits(pace, 2, at=2.0)

    assert waits(pace, 1, at=2.001) > 0
