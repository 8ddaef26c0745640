"""How fast to send."""

import pytest

from infra.demo.pacing import (
    LEAST_WINDOW,
    SLOWEST_AGAIN_S,
    WANTED_S,
    WIDEST_WINDOW,
    Schedule,
    Verdict,
    Window,
    again_in_s,
    next_window,
    verdict,
)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (202, Verdict.ACCEPTED),
        (400, Verdict.REFUSED),
        (401, Verdict.REFUSED),
        (422, Verdict.REFUSED),
        (408, Verdict.AGAIN),
        (409, Verdict.AGAIN),
        (500, Verdict.AGAIN),
        (502, Verdict.AGAIN),
        (429, Verdict.SLOWER),
        (503, Verdict.SLOWER),
    ],
)
def test_a_status_says_what_becomes_of_its_order(status: int, meaning: Verdict):
    assert verdict(status) is meaning


def test_the_platforms_word_on_when_to_come_again_is_kept_up_to_a_bound():
    assert again_in_s(9, 2.0) == 2.0
    assert again_in_s(1, 600.0) == SLOWEST_AGAIN_S


def test_without_a_word_the_waits_double_up_to_a_bound():
    waits = [again_in_s(tries, None) for tries in range(1, 9)]

    assert waits[1] == 2 * waits[0]
    assert waits[-1] == SLOWEST_AGAIN_S


def test_a_schedule_keeps_its_moments_whatever_is_outstanding():
    pace = Schedule([0.0, 0.5])

    assert pace.due_in_s(0.1, 10_000) == pytest.approx(-0.1)
    pace.sent()
    assert pace.due_in_s(0.1, 10_000) == pytest.approx(0.4)


def test_a_window_bounds_what_is_outstanding():
    pace = Window(500)

    assert pace.due_in_s(0, 499) == 0
    assert pace.due_in_s(0, 500) is None


@pytest.mark.parametrize(
    ("slow_s", "outstanding", "shed", "grows"),
    [
        (WANTED_S / 2, 1000, False, True),  # quick: more
        (WANTED_S / 2, 300, False, None),  # quick, but it was not the window that held us back
        (WANTED_S * 1.5, 1000, False, False),
        (WANTED_S / 2, 1000, True, False),  # turned away: less, however quick
    ],
)
def test_the_window_follows_how_long_orders_take(
    slow_s: float, outstanding: int, shed: bool, grows: bool | None
):
    size = next_window(1000, slow_s=slow_s, outstanding=outstanding, shed=shed)

    assert {True: size > 1000, False: size < 1000, None: size == 1000}[grows]


def test_the_window_stays_within_its_bounds():
    assert next_window(LEAST_WINDOW, slow_s=60, outstanding=LEAST_WINDOW, shed=True) == LEAST_WINDOW
    assert next_window(WIDEST_WINDOW, slow_s=0, outstanding=WIDEST_WINDOW, shed=False) == WIDEST_WINDOW


def test_a_window_waits_for_what_a_change_does_before_the_next():
    pace = Window(1000)

    pace.adapt(10.0, slow_s=0.5, outstanding=1000, shed=0)
    grown = pace.size
    pace.adapt(10.4, slow_s=0.5, outstanding=1000, shed=0)
    assert pace.size == grown > 1000

    pace.adapt(10.6, slow_s=0.5, outstanding=1000, shed=1)
    assert pace.size == grown / 2


def test_the_window_settles_where_orders_take_the_wanted_time():
    throughput, size = 2000.0, 500.0

    for _ in range(50):
        size = next_window(size, slow_s=size / throughput, outstanding=int(size), shed=False)

    assert size / throughput == pytest.approx(WANTED_S, rel=0.05)
