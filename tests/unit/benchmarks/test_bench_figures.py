"""Numbers from numbers."""

import pytest

from benchmarks import figures


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_a_percentile_is_the_nearest_rank(share, expected):
    assert figures.percentile([float(n) for n in range(1, 101)], share) == expected


def test_of_nothing_there_is_no_percentile():
    assert figures.milliseconds([]) == {"p50_ms": None, "p99_ms": None, "max_ms": None}


def test_inside_is_who_has_begun_and_not_ended():
    inside = figures.inside([10.1, 10.2, 11.5], [11.2, 12.5], since=10.0, seconds=3)

    assert inside == [2, 2, 1]


@pytest.mark.parametrize(
    ("backlog", "expected"),
    [
        ([0] * 5 + [100] * 15, False),  # it has filled, and stays
        ([n * 10 for n in range(20)], True),
        ([0] * 15 + [9] * 5, False),  # less than a tenth of a second's arrivals
        ([1, 2, 3], False),  # too short to say
    ],
)
def test_a_backlog_grows_when_its_end_is_clearly_above_its_beginning(backlog, expected):
    assert figures.grows(backlog, rate=100.0) is expected


def test_throughput_leaves_out_the_slow_ends():
    ends = [0.0] * 10 + [1.0 + n / 100 for n in range(80)] + [60.0] * 10

    assert figures.throughput(ends) == pytest.approx(100)
    assert figures.throughput([1.0, 2.0]) == 0.0
