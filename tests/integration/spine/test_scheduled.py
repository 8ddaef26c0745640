"""Orders for a later window: capacity at once, all else when they are released."""

from datetime import UTC, datetime, timedelta

import pytest
from fake_providers import Mood
from world import World

from app.orders.document import Window
from app.orders.model import LEAD
from sagas.steps import await_release

FAR = timedelta(hours=5)


def accept_for_later(world: World) -> str:
    start = datetime.now(UTC) + FAR
    (order,) = world.accept(requested_window=Window(start=start, until=start + timedelta(hours=1)))
    return order


def release(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time of its release come."""
    monkeypatch.setattr(await_release, "LEAD", FAR)
    world.sql("UPDATE runs SET due_at = now()")


def test_capacity_is_held_at_once_and_nothing_else_happens_before_the_release(world: World) -> None:
    accept_for_later(world)

    world.walk(world.claim_one())

    assert world.held_places() == 1
    assert world.standing() == []
    ((state, wait),) = world.rows("SELECT state, due_at - now() FROM runs")
    assert state == "w"
    assert abs(FAR - LEAD - wait) < timedelta(minutes=1)


def test_a_released_order_is_fulfilled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    order = accept_for_later(world)
    world.walk(world.claim_one())
    release(world, monkeypatch)

    world.settle()

    assert world.statuses() == {order: "CONFIRMED"}
    assert world.one("SELECT attempts FROM runs") == 0


def test_a_released_order_that_fails_gives_its_place_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = accept_for_later(world)
    world.walk(world.claim_one())
    release(world, monkeypatch)
    world.payment.behave(Mood.REFUSE)

    world.settle()

    assert world.statuses() == {order: "FAILED"}
    assert world.held_places() == 0
