"""A breaker's moves, as a table."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from app.routing import breaker
from app.routing.breaker import Breaker
from app.routing.breaker import BreakerState as State

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CLOSED = Breaker(partner="swift")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def failed(times: Sequence[float], *, waited_s: float = 0.1, of: Breaker = CLOSED) -> Breaker:
    for each in times:
        of = breaker.after_failure(of, at(each), waited_s=waited_s)
    return of


OPENED = failed([0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    ("times", "opens"),
    [
        ([0, 1, 2, 3], False),
        ([0, 0, 0, 0, 0], True),
        ([0, 1, 2, 3, 10], True),
        ([0, 1, 2, 3, 10.1], False),
        ([0, 5, 6, 7, 11, 12], True),
    ],
)
def test_five_failed_calls_within_ten_seconds_open_it(times: list[float], opens: bool) -> None:
    assert (failed(times).state(at(times[-1])) is State.OPEN) is opens


def test_an_answered_call_begins_the_count_anew() -> None:
    found = breaker.after_answer(failed([0, 1, 2, 3]), at(4), dispatched=False)

    assert failed([4, 5, 6, 7], of=found).state(at(7)) is State.CLOSED


@pytest.mark.parametrize(("waited_s", "opens"), [(0.5, False), (4.9, False), (5.0, True)])
def test_seconds_of_waiting_in_vain_count_like_calls(waited_s: float, opens: bool) -> None:
    assert (failed([0], waited_s=waited_s).state(at(0)) is State.OPEN) is opens


@pytest.mark.parametrize(
    ("seconds", "state"),
    [
        (4, State.OPEN),
        (33.9, State.OPEN),
        (34, State.HALF_OPEN),
        (1e6, State.HALF_OPEN),
    ],
)
def test_it_is_half_open_after_thirty_seconds(seconds: float, state: State) -> None:
    assert OPENED.state(at(seconds)) is state


@pytest.mark.parametrize(
    ("seconds", "dispatched", "state"),
    [
        (20, True, State.OPEN),  # he may be well, but nobody has probed him yet
        (35, False, State.HALF_OPEN),
        (35, True, State.CLOSED),
    ],
)
def test_only_an_answered_dispatch_closes_a_half_open_one(
    seconds: float, dispatched: bool, state: State
) -> None:
    assert breaker.after_answer(OPENED, at(seconds), dispatched=dispatched).state(at(seconds)) is state


def test_a_failed_probe_opens_it_for_as_long_again() -> None:
    again = breaker.after_failure(OPENED, at(40), waited_s=0.1)

    assert [again.state(at(s)) for s in (40, 69.9, 70)] == [
        State.OPEN,
        State.OPEN,
        State.HALF_OPEN,
    ]


def test_failures_while_it_is_open_do_not_put_off_the_probe() -> None:
    assert failed([5, 10, 20], of=OPENED) == OPENED


@pytest.mark.parametrize("forced", [State.OPEN, State.CLOSED])
def test_what_an_operator_sets_holds_until_it_expires(forced: State) -> None:
    held = Breaker(partner="swift", forced=forced, forced_until=at(60), probe_at=OPENED.probe_at)

    assert [held.state(at(59.9)), held.state(at(60))] == [forced, State.HALF_OPEN]
