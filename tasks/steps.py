"""The tasks that carry a cohort. `Ignore` ends a chain or chord whose carrier does not lead any more."""

from typing import Any

import structlog
from celery import shared_task
from celery.exceptions import Ignore, WorkerLostError
from celery.signals import task_failure, task_internal_error
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from sagas.stretch import Legs
from tasks import names
from tasks.base import ServiceTask

CARRYING = (names.RUN_STEPS, names.JOIN)

log = structlog.get_logger()


@shared_task(name=names.RUN_STEPS, bind=True)
def run_steps(self: ServiceTask, *, cohort_id: int, epoch: int, legs: Legs, **_: object) -> None:
    if not self.services.engine.run_stretch(cohort_id, epoch, legs):
        raise Ignore


@shared_task(name=names.JOIN, bind=True)
def join(self: ServiceTask, *, cohort_id: int, epoch: int, stage: int, **_: object) -> None:
    if not self.services.engine.join(cohort_id, epoch, stage):
        raise Ignore


@task_failure.connect
def _tell_of_a_death(sender: Any, exception: BaseException, kwargs: dict[str, Any], **_: object) -> None:
    """
    Runs in a worker's main process when a pool child has died with a task.

    Celery gives that message up. The sweep would find the cohort when the lease has run out, or, had the child
    not begun it yet, half a minute later; the one who buries the child knows at once.
    """
    if not isinstance(exception, WorkerLostError) or sender.name not in CARRYING:
        return
    told = {
        "cohort_id": kwargs.get("cohort_id"),
        "epoch": kwargs.get("epoch"),
        "steps": [step for _, steps in kwargs.get("legs", ()) for step in steps],
    }
    try:
        sender.app.send_task(names.CARRIER_DIED, kwargs=told, retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 (whatever the broker's client raises, the sweep finds the cohort)
        log.warning("death-not-told", error=type(error).__name__)


@task_failure.connect
@task_internal_error.connect
def _tell_of_an_unsent_message(
    sender: Any, exception: BaseException, kwargs: dict[str, Any], **_: object
) -> None:
    """Runs in a pool child that could not send on what it had done. Postgres is told, as the broker cannot be."""
    if not isinstance(exception, KombuError | RedisError) or sender.name not in CARRYING:
        return
    try:
        sender.services.engine.carrier_died(kwargs["cohort_id"], kwargs["epoch"], ())
    except Exception as error:  # noqa: BLE001 (most likely the broker again: the next sweep that reaches it goes on)
        log.warning("cohort-not-sent", cohort_id=kwargs["cohort_id"], error=type(error).__name__)
