"""Small sagas for tests of what a definition can say."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from app.runs.model import DONE, Cohort, Direction, Member
from sagas.definition import Call, Result, Saga, Stage, Step
from sagas.ports import Ports

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def passes(_ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    return Result({member.run_id: DONE for member in members})


def step(name: str, **options: Any) -> Step:
    return Step(name, passes, passes, **options)


def saga(*stages: Step | Stage, pivot: str = "pivot") -> Saga:
    """These stages and then a pivot, unless it is among them."""
    names = {s.name for stage in stages for s in (stage.steps if isinstance(stage, Stage) else (stage,))}
    rest = () if pivot in names else (step(pivot),)
    return Saga.of(name="made-up", version=1, stages=(*stages, *rest), pivot=pivot, on_undone=lambda *_: None)


def member(**changes: Any) -> Member:
    plain = Member(
        run_id=1,
        order_id="order",
        tenant_id="default",
        done=0,
        touched=0,
        undone=0,
        attempts=0,
        generation=0,
        not_after=NOW + timedelta(hours=1),
        failure=None,
    )
    return replace(plain, **changes)


def cohort(
    itinerary: tuple[int, ...], *, leg: int = 0, way: Direction = Direction.FORWARD, lane: str = "front"
) -> Cohort:
    return Cohort(1, 1, "made-up", 1, way, lane, itinerary, leg, (1,), NOW)
