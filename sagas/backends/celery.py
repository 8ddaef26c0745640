"""A cohort's journey as a Celery chain, with a chord where steps run side by side."""

import uuid
from typing import Any

import redis
from celery import Celery, chain, chord

from app.runs.cohorts import Claimed
from app.runs.model import EXPRESS, Direction, is_isolation_lane, is_provider_lane
from sagas.definition import Priority, Queue, Registry, Step

RUN_STEP, JOIN = "uoop.run-step", "uoop.join"
KILL_AFTER_S = 5.0
ISOLATION_LIMIT_S = 5.0
INCARNATION_KEY = "uoop:broker:incarnation"


class CeleryCarrier:
    """Messages carry cohort, epoch and place; never state."""

    def __init__(self, app: Celery, client: "redis.Redis", sagas: Registry) -> None:
        self._app, self._client, self._sagas = app, client, sagas

    def send(self, claimed: Claimed, *, leg: int) -> None:
        self.canvas(claimed, leg=leg).apply_async(retry=False)

    def canvas(self, claimed: Claimed, *, leg: int) -> Any:
        """The rest of the journey from `leg` on."""
        saga = self._sagas.get(claimed.saga, claimed.version)
        stages = saga.travelled(claimed.direction)
        links: list[Any] = []
        for stage in claimed.itinerary[leg:]:
            steps = [self._step(claimed, stage, n, saga.steps[n]) for n in stages[stage]]
            if len(steps) == 1:
                links.append(steps[0])
            else:
                header = [step.set(ignore_result=False) for step in steps]
                links.append(chord(header, self._join(claimed, stage), app=self._app))
        return chain(*links, app=self._app)

    def incarnation(self) -> str:
        mine = uuid.uuid4().hex
        self._client.set(INCARNATION_KEY, mine, nx=True)
        found: Any = self._client.get(INCARNATION_KEY)
        return found.decode() if found else mine

    def forget(self) -> None:
        """Begin a new incarnation: messages may have been lost, so whatever no step is executing is sent again."""
        self._client.delete(INCARNATION_KEY)

    def _step(self, claimed: Claimed, stage: int, step: int, definition: Step) -> Any:
        arguments = {"cohort_id": claimed.id, "epoch": claimed.epoch, "stage": stage, "step": step}
        limit_s = definition.time_limit_s
        if is_isolation_lane(claimed.lane):
            limit_s = min(limit_s, ISOLATION_LIMIT_S)
        priority, queue = definition.priority, definition.queue
        if claimed.direction is Direction.BACKWARD or claimed.lane == EXPRESS:
            # what is given back is waited for by others; express overtakes
            priority = min(priority, Priority.HIGH)
        if queue is Queue.PARTNER and is_provider_lane(claimed.lane):
            queue = Queue.PATIENT
        return self._app.signature(
            RUN_STEP,
            kwargs=arguments,
            immutable=True,
            queue=str(queue),
            priority=int(priority),
            soft_time_limit=limit_s,
            time_limit=limit_s + KILL_AFTER_S,
        )

    def _join(self, claimed: Claimed, stage: int) -> Any:
        arguments = {"cohort_id": claimed.id, "epoch": claimed.epoch, "stage": stage}
        return self._app.signature(JOIN, kwargs=arguments, immutable=True, priority=int(Priority.HIGH))
