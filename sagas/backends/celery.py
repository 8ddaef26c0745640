"""
A cohort's journey as a Celery chain of stretches, with a chord where many orders go through steps side by side.

A stretch is what one worker does of it in one go. A message costs as much as what it has done for a few orders: these
travel in one.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery, chain, chord

from app.runs.cohorts import Claimed
from app.runs.model import EXPRESS, Direction, is_isolation_lane, is_provider_lane
from sagas.definition import KILL_AFTER_S, Priority, Queue, Registry, Saga

RUN_STEPS, JOIN = "uoop.run-steps", "uoop.join"
SPREAD_FROM = 200  # orders; fewer are through sooner by one worker than by several
INCARNATION_KEY = "uoop:broker:incarnation"


@dataclass(frozen=True, slots=True)
class Stretch:
    """
    Stages that one worker takes a cohort through.

    :param is_spread: or one whose steps go to several workers, to be joined
    """

    stages: list[int]
    is_spread: bool = False


class CeleryCarrier:
    """Messages carry cohort, epoch and place; never state."""

    def __init__(
        self,
        app: Celery,
        client: "redis.Redis",
        sagas: Registry,
        *,
        spread_from: int = SPREAD_FROM,
    ) -> None:
        """:param spread_from: orders in a cohort whose steps go to the pools made for them"""
        self._app, self._client, self._sagas = app, client, sagas
        self._spread_from = spread_from

    def send(self, claimed: Claimed, *, leg: int) -> None:
        self.canvas(claimed, leg=leg).apply_async(retry=False)

    def canvas(self, claimed: Claimed, *, leg: int) -> Any:
        """The rest of the journey from `leg` on."""
        saga = self._sagas.get(claimed.saga, claimed.version)
        stages = saga.travelled(claimed.direction)
        links: list[Any] = []
        for stretch in stretches(saga, claimed, leg=leg, spread_from=self._spread_from):
            if stretch.is_spread:
                (stage,) = stretch.stages
                header = [self._message(claimed, saga, [(stage, (step,))]) for step in stages[stage]]
                spread = [branch.set(ignore_result=False) for branch in header]
                links.append(chord(spread, self._join(claimed, stage), app=self._app))
            else:
                links.append(
                    self._message(claimed, saga, [(stage, stages[stage]) for stage in stretch.stages])
                )
        return chain(*links, app=self._app)

    def incarnation(self) -> str:
        mine = uuid.uuid4().hex
        self._client.set(INCARNATION_KEY, mine, nx=True)
        found: Any = self._client.get(INCARNATION_KEY)
        return found.decode() if found else mine

    def forget(self) -> None:
        """Begin a new incarnation: messages may have been lost, so whatever no step is executing is sent again."""
        self._client.delete(INCARNATION_KEY)

    def _message(self, claimed: Claimed, saga: Saga, legs: Sequence[tuple[int, Sequence[int]]]) -> Any:
        numbers = [step for _, steps in legs for step in steps]
        limit_s = sum(saga.steps[n].limit_s(claimed.lane) for n in numbers)
        priority = saga.steps[numbers[0]].priority
        queue = _pool(saga, numbers)
        if claimed.direction is Direction.BACKWARD or claimed.lane == EXPRESS:
            # what is given back is waited for by others; express overtakes
            priority = min(priority, Priority.HIGH)
        if queue is Queue.PARTNER and is_provider_lane(claimed.lane):
            queue = Queue.PATIENT
        return self._app.signature(
            RUN_STEPS,
            kwargs={"cohort_id": claimed.id, "epoch": claimed.epoch, "legs": legs},
            immutable=True,
            queue=str(queue),
            priority=int(priority),
            # never at the same moment as a step's own limit
            soft_time_limit=limit_s + KILL_AFTER_S,
            time_limit=limit_s + 2 * KILL_AFTER_S,
        )

    def _join(self, claimed: Claimed, stage: int) -> Any:
        arguments = {"cohort_id": claimed.id, "epoch": claimed.epoch, "stage": stage}
        return self._app.signature(JOIN, kwargs=arguments, immutable=True, priority=int(Priority.HIGH))


def stretches(saga: Saga, claimed: Claimed, *, leg: int, spread_from: int) -> list[Stretch]:
    """
    The rest of a journey: of few orders in one part, of many in as few as the pools allow that are made for its steps.

    A cohort of an isolation lane, and a lone order that is sent again, has a message for each step: what it does to its
    worker shall harm no other step.
    """
    alone = is_isolation_lane(claimed.lane) or (claimed.size == 1 and claimed.epoch > 1)
    few = claimed.size < spread_from
    found: list[Stretch] = []
    needed: set[Queue] | None = None  # by the last stretch; None if it takes no more
    for stage in claimed.itinerary[leg:]:
        steps = saga.travelled(claimed.direction)[stage]
        own = {saga.steps[n].queue for n in steps} - {Queue.STEPS}
        if alone or (len(steps) > 1 and not few):
            found.append(Stretch([stage], is_spread=len(steps) > 1))
            needed = None
        elif needed is None or (len(needed | own) > 1 and not few):
            found.append(Stretch([stage]))
            needed = own
        else:
            found[-1].stages.append(stage)
            needed |= own
    return found


def _pool(saga: Saga, steps: Sequence[int]) -> Queue:
    """Who does these in one go: whoever waits for others anyway, else who computes."""
    queues = {saga.steps[n].queue for n in steps}
    return next((queue for queue in (Queue.PARTNER, Queue.OPTIMIZER) if queue in queues), Queue.STEPS)
