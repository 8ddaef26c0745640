"""Whether what was promised of speed is told as held."""

import pytest

from benchmarks import targets


@pytest.mark.parametrize(
    ("rps", "expected"),
    [(6_000.0, "6,000 | aim held"), (5_999.0, "5,999 | held"), (3_499.0, "3,499 | **missed**")],
)
def test_what_should_be_at_least_so_much(rps, expected):
    found = {"accept": {"saturated": {"rps": rps, "p99_ms": 1_500.0}}}

    first, *_ = targets.told(found).splitlines()[2:]

    assert expected in first


@pytest.mark.parametrize(
    ("p99_ms", "expected"), [(1_000.0, "aim held"), (2_000.0, "held"), (2_001.0, "missed")]
)
def test_what_should_be_at_most_so_much(p99_ms, expected):
    found = {"accept": {"saturated": {"rps": 1.0, "p99_ms": p99_ms}}}

    (line,) = (each for each in targets.told(found).splitlines() if "at saturation | at most" in each)

    assert f"{p99_ms:,.0f} | " in line and expected in line


def test_what_was_not_measured_is_not_held():
    lines = targets.told({}).splitlines()[2:]

    assert len(lines) == len(targets.TARGETS)
    assert all(line.endswith("| - | not measured |") for line in lines)


def test_a_rate_that_was_not_kept_up_is_missed():
    found = {"end_to_end": {"bulk": {"rate": 9_999.0, "sustained": False, "p99_ms": 1.0}}}

    (line,) = (each for each in targets.told(found).splitlines() if each.startswith("| end to end"))

    assert "missed" in line
