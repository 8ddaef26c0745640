"""A provider that keeps no tombstones: what is still on its way to it works after its undoing, unless waited for."""

from datetime import UTC, datetime, timedelta

import pytest
from fake_providers import Mood
from world import World

from app.providers.port import Request

WAITS_TO_UNDO = (
    "SELECT count(*) FROM runs WHERE direction = 'b' AND state = 'w' AND due_at > now() + interval '60 s'"
)


@pytest.fixture
def undoing(world: World) -> str:
    """The key of a placement of which nobody knows whether it happened; its order is being undone."""
    world.kitchens.tombstones = False
    world.kitchens.behave(Mood.SILENT)
    (order,) = world.accept()
    for _ in range(60):
        world.hurry()
        world.engine.claim()
        world.walk_sent()
        if world.one(WAITS_TO_UNDO):
            return next(key for op, key in world.kitchens.calls if op == "do" and key.startswith(order))
    raise AssertionError("it was not undone")


def arrive_late(world: World, key: str) -> None:
    """The call that got no answer works now."""
    world.kitchens.recover()
    world.kitchens.do("placements", [Request(key, datetime.now(UTC) + timedelta(minutes=1), {})], timeout_s=1)


def test_an_undoing_waits_until_no_call_can_arrive_any_more(world: World, undoing: str) -> None:
    left_s = world.one("SELECT extract(epoch FROM due_at - not_after) FROM runs")

    assert 9.5 <= left_s <= 10.5  # the longest call, in buckets of a quarter of a second
    assert set(world.statuses().values()) == {"PENDING"}


def test_what_works_after_its_undoing_is_undone_again(world: World, undoing: str) -> None:
    arrive_late(world, undoing)
    assert undoing in world.standing()

    world.sql("UPDATE runs SET not_after = now() - interval '11 s'")
    world.settle()

    assert world.standing() == []
    assert set(world.statuses().values()) == {"FAILED"}


def test_the_wait_counts_as_no_attempt(world: World, undoing: str) -> None:
    for _ in range(15):  # more than an undoing is tried
        world.hurry()
        world.engine.claim()
        world.walk_sent()

    assert set(world.states().values()) == {"w"}


@pytest.mark.parametrize("mood", [Mood.REFUSE, Mood.SILENT])
def test_a_key_that_the_provider_does_not_know_has_no_effect_to_be_undone(
    world: World, undoing: str, mood: Mood
) -> None:
    world.kitchens.behave(mood, op="undo")

    world.sql("UPDATE runs SET not_after = now() - interval '11 s'")
    world.settle()

    assert world.standing() == []
    assert set(world.statuses().values()) == {"FAILED"}
