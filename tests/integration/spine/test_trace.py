"""A run as a line of time: attempts, undoings and the waits between them."""

import redis
from fake_providers import Mood
from rich.console import Console
from sqlalchemy import Engine as Database
from test_operations import desk, do, parked_at, waiting_at_kitchen
from test_pauses import pause, resume, walk_all
from world import RANKING, World

from app.runs.allowed import Act
from app.runs.pauses import Kind
from app.runs.views import RunTrace, SpanKind
from infra.cli import picture

WAITS = (SpanKind.WAIT, SpanKind.PARKED)


def traced(world: World, order: str) -> RunTrace:
    return desk(world).trace("default", order)


def waits(trace: RunTrace) -> list[tuple[str | None, str | None]]:
    return [(span.lane, span.why) for span in trace.spans if span.kind in WAITS]


def steps(trace: RunTrace) -> list[tuple[str, str | None, int | None, str | None]]:
    return [(s.kind.value, s.step, s.nth, s.verdict) for s in trace.spans if s.kind not in WAITS]


def drawn(trace: RunTrace) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(picture.of(trace))
    return captured.get()


def test_waits_stand_between_attempts_with_their_lane_and_reason(world: World) -> None:
    order = waiting_at_kitchen(world)
    world.kitchens.recover()
    world.settle()

    trace = traced(world, order)

    assert waits(trace) == [("front", "accepted"), ("provider:kitchens", "unavailable")]
    assert [each for each in steps(trace) if each[1] == "place-with-restaurant"] == [
        ("step", "place-with-restaurant", 1, "unavailable"),
        ("step", "place-with-restaurant", 2, "done"),
    ]
    first, second = (span for span in trace.spans if span.kind is SpanKind.WAIT)
    assert first.began_at <= first.ended_at <= second.began_at <= second.ended_at  # type: ignore[operator]


def test_what_still_waits_has_no_end_and_says_what_comes_next(world: World) -> None:
    order = waiting_at_kitchen(world)

    trace = traced(world, order)

    last = trace.spans[-1]
    assert (last.kind, last.lane, last.ended_at) == (SpanKind.WAIT, "provider:kitchens", None)
    assert (trace.next.step, trace.next.attempt) == ("place-with-restaurant", 2)
    assert trace.next.at is not None
    assert "next: the step is done: place-with-restaurant, in " in drawn(trace)


def test_compensations_are_drawn_with_the_wait_before_them(world: World) -> None:
    (order,) = world.accept()
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE)
    world.settle()

    trace = traced(world, order)

    assert waits(trace) == [("front", "accepted"), ("compensation", "no-available-partner")]
    undone = [step for kind, step, _, verdict in steps(trace) if (kind, verdict) == ("undo", "undone")]
    assert undone == ["dispatch-to-partner", "place-with-restaurant", "authorize-payment", "reserve-capacity"]
    picture_of_it = drawn(trace)
    assert "undo authorize-payment" in picture_of_it
    assert "no-available-partner at dispatch-to-partner, all undone" in picture_of_it


def test_being_parked_and_what_an_operator_did_are_parts_of_the_line(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    world, order = parked_at(db, client, "place-with-restaurant", after=False)
    stopped = traced(world, order)
    do(world, Act.RETRY, order)
    world.settle()

    trace = traced(world, order)

    assert (stopped.spans[-1].kind, stopped.spans[-1].ended_at) == (SpanKind.PARKED, None)
    assert [(span.kind, span.why) for span in trace.spans if span.kind in WAITS][-2:] == [
        (SpanKind.PARKED, "raised-ValueError"),
        (SpanKind.WAIT, "operator: retry"),
    ]
    assert "tests: retry: because" in drawn(trace)


def test_a_wait_for_a_pause_names_it(world: World) -> None:
    pause(world, Kind.PARTNER, *RANKING)
    (order,) = world.accept()
    walk_all(world)
    waiting = drawn(traced(world, order))
    resume(world, Kind.PARTNER, *RANKING)
    walk_all(world)

    trace = traced(world, order)

    assert "it waits until partner dhow or falcon or swift is resumed, or its time is over" in waiting
    assert waits(trace)[1] == ("paused:partner:dhow,falcon,swift",) * 2


def test_what_is_being_done_is_drawn_as_running(world: World) -> None:
    (order,) = world.accept()
    seen: list[RunTrace] = []
    world.kitchens.meanwhile("before do", lambda: seen.append(traced(world, order)))
    world.walk(world.claim_one())

    (trace,) = seen

    assert steps(trace)[-1] == ("step", "place-with-restaurant", 1, None)
    assert "running" in drawn(trace)
