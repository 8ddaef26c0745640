"""Sinks that were taken out of the settings, by the command line."""

import json
from collections.abc import Callable

import pytest
from sqlalchemy import Engine as Database
from test_outbox import relayed, written
from test_sinks import Picky

from app.outbox.relay import Relay

Uoop = Callable[..., tuple[int, str]]


@pytest.fixture
def former(db: Database) -> str:
    """One that is not in the settings; like another it has taken an event, and lacks one."""
    written(db, "taken")
    for name in ("former", "redis-stream"):
        relayed(Relay(db, Picky(name), holder="one"))
    written(db, "lacking")
    return "former"


def standings(command: Uoop) -> dict[str, tuple[int, bool]]:
    """Lag of each sink, and whether it is in the settings."""
    code, told = command("events", "slo", "--json")
    assert code == 0
    return {one["sink"]: (one["lag"], one["in_settings"]) for one in json.loads(told)}


def test_a_sink_that_was_taken_out_of_the_settings_is_told_of_until_it_is_forgotten(
    command: Uoop, former: str
) -> None:
    before = standings(command)
    _, told = command("events", "slo")

    forgotten, again = (
        command("events", "forget", "--sink", former),
        command("events", "forget", "--sink", former),
    )

    assert before == {former: (1, False), "redis-stream": (1, True)}
    assert "former (not in the settings)" in told
    assert forgotten == (0, "")
    assert again[0] != 0
    assert standings(command) == {"redis-stream": (1, True)}


def test_a_sink_that_is_in_use_is_not_forgotten(command: Uoop, former: str) -> None:
    code, told = command("events", "forget", "--sink", "redis-stream")

    assert code != 0
    assert "redis-stream is in the settings" in told
    assert "redis-stream" in standings(command)
