"""The promises hold in every storm."""

import os
from collections.abc import Callable

import pytest
import redis
from fake_providers import Mood
from guards import GUARDS, Guard
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine as Database
from sqlalchemy.exc import DBAPIError
from storm import SIDES, Script, rage

from sagas.fulfill_order import FULFILL_ORDER

WHICH = st.integers(0, 3)
MOODS = st.tuples(
    st.sampled_from(SIDES),
    st.sampled_from(["do", "do", "undo", "find"]),
    st.sampled_from(Mood),
    st.integers(1, 3),
)
MOMENTS = [
    "before do",
    "after do",
    "before undo",
    "after undo",
    "after find",
    "before ledger",
    "after ledger",
    "commit",
    "end",
]
MOVES = st.one_of(
    st.tuples(st.just("to"), WHICH, st.sampled_from(MOMENTS)),
    st.tuples(st.just("step"), WHICH, st.sampled_from([1, 2, 4, None, None])),
    st.tuples(st.just("overtake"), st.integers(0, 3)),
    st.tuples(st.just("go"), st.integers(1, 4)),
    st.tuples(st.just("deliver"), WHICH),
)
TROUBLES = st.one_of(
    st.tuples(st.sampled_from(["double", "kill", "redeliver", "bury", "lose", "mishear"]), WHICH),
    st.tuples(st.sampled_from(["cancel", "late", "lapse"]), WHICH),
    st.tuples(st.sampled_from(["claim", "sweep", "sleep", "age", "arrive"])),
    st.tuples(st.sampled_from(["empty_broker", "empty_ledger", "reconcile"])),
    MOODS.map(lambda mood: ("mood", *mood)),
)
SCRIPTS = st.builds(
    Script,
    orders=st.sampled_from([1, 1, 2, 3]),
    size=st.integers(1, 3),
    limit=st.sampled_from([1, 3, 3]),
    stretched=st.booleans(),
    until=st.sampled_from([None, *(step.name for step in FULFILL_ORDER.steps)]),
    fleet=st.sampled_from([False, False, True]),
    deaf=st.sampled_from([None, None, *SIDES]),
    moods=st.lists(MOODS, max_size=2),
    ops=st.lists(st.one_of(MOVES, MOVES, TROUBLES), min_size=3, max_size=25),
)
LONG = os.environ.get("UOOP_STORM_EXAMPLES")
STORM = settings(
    max_examples=int(LONG or 15),
    derandomize=LONG is None,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
FOUND = (Phase.explicit, Phase.generate)  # it need not be small


@STORM
@given(script=SCRIPTS)
def test_every_promise_holds_in_every_storm(
    db: Database, client: "redis.Redis[bytes]", emptied: Callable[[], None], script: Script
) -> None:
    emptied()
    rage(db, client, script)


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_what_shows_a_guard_to_be_needed_does_no_harm_with_it(
    db: Database, client: "redis.Redis[bytes]", guard: Guard
) -> None:
    rage(db, client, guard.found_by)


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_without_one_of_its_guards_it_breaks_a_promise(
    db: Database, client: "redis.Redis[bytes]", emptied: Callable[[], None], guard: Guard
) -> None:
    @settings(STORM, phases=FOUND)
    @given(script=SCRIPTS)
    @example(script=guard.found_by)
    def promises_hold(script: Script) -> None:
        emptied()
        rage(db, client, script)

    with guard.taken_away(db), pytest.raises((AssertionError, DBAPIError)):
        promises_hold()
