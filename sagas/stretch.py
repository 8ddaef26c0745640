"""
What one worker does of a cohort's journey in one go: where it is, and what it knows of the members.

Nothing but their cohort writes to travelling runs, so what was read of them stays true from step to step, as long as
all get through.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs
from sqlalchemy import Connection

from app.runs import executions
from app.runs.model import Cohort, Direction, Member, Outcome, Outcomes
from sagas.definition import Saga, Step

Legs = Sequence[tuple[int, Sequence[int]]]  # stages, and steps of theirs


@dataclass(frozen=True, slots=True)
class Place:
    """A step of a cohort that one epoch's carrier has come to, or will."""

    cohort_id: int
    epoch: int
    stage: int
    step: int


@dataclass(frozen=True, slots=True)
class Begun:
    """
    A step whose intent is written.

    :param starts: how often it has been begun in this cohort
    :param travelling: all members of the cohort
    :param members: those who take part
    :param refused: outcomes of those who may not go on
    """

    place: Place
    cohort: Cohort
    saga: Saga
    executor: str
    starts: int
    travelling: list[Member]
    members: list[Member]
    refused: dict[int, Outcome]

    @property
    def definition(self) -> Step:
        return self.saga.steps[self.place.step]


def read(connection: Connection, cohort: Cohort, saga: Saga, places: Sequence[Place]) -> list[Member]:
    """The members with all that the steps at these places need, but what one of them learns from another."""
    steps = [saga.steps[place.step] for place in places]
    learnt = {step.name for step in steps} if cohort.direction is Direction.FORWARD else set()
    reads = dict.fromkeys(column for step in steps for column in step.reads)
    uses = dict.fromkeys(name for step in steps for name in step.uses if name not in learnt)
    return executions.members(
        connection, cohort, reads=list(reads), uses=[(name, saga.numbers[name]) for name in uses]
    )


def carried(begun: Begun, outcomes: Outcomes, ahead: Sequence[Place]) -> list[Member] | None:
    """The members as the next step would read them, once all have got through this one; None if it must read."""
    name, steps = begun.definition.name, begun.saga.steps
    if not any(name in steps[place.step].uses for place in ahead):
        return [_unfailing(member) for member in begun.travelling]
    known = []
    for member in begun.travelling:
        outcome = outcomes.get(member.run_id)
        if outcome is None or outcome.detail is None:
            return None  # it was done in an earlier cohort
        given = {**member.given, name: outcome.detail}
        known.append(structs.replace(member, attempts=0, failing_since=None, given=given))
    return known


def _unfailing(member: Member) -> Member:
    """Failures are those of the stage behind it."""
    return structs.replace(member, attempts=0, failing_since=None) if member.attempts else member
