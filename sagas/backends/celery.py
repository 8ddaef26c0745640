"""A cohort's journey as a Celery chain, with a chord where steps run side by side."""

import uuid
from typing import Any

import redis
from celery import Celery, chain, chord

from app.runs.cohorts import Claimed
from sagas.definition import Registry

RUN_STEP, JOIN = "uoop.run-step", "uoop.join"
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
            steps = [self._step(claimed, stage, n, saga.steps[n].queue) for n in stages[stage]]
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

    def _step(self, claimed: Claimed, stage: int, step: int, queue: str) -> Any:
        arguments = {"cohort_id": claimed.id, "epoch": claimed.epoch, "stage": stage, "step": step}
        return self._app.signature(RUN_STEP, kwargs=arguments, immutable=True, queue=str(queue))

    def _join(self, claimed: Claimed, stage: int) -> Any:
        arguments = {"cohort_id": claimed.id, "epoch": claimed.epoch, "stage": stage}
        return self._app.signature(JOIN, kwargs=arguments, immutable=True)
