"""The tasks that carry a cohort. `Ignore` ends a chain or chord whose carrier does not lead any more."""

from typing import Any

import structlog
from celery import shared_task
from celery.exceptions import Ignore, WorkerLostError
from celery.signals import task_failure

from tasks import names
from tasks.base import ServiceTask

log = structlog.get_logger()


@shared_task(name=names.RUN_STEP, bind=True)
def run_step(self: ServiceTask, *, cohort_id: int, epoch: int, stage: int, step: int, **_: object) -> None:
    if not self.services.engine.run_step(cohort_id, epoch, stage, step):
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
    if not isinstance(exception, WorkerLostError) or sender.name not in (names.RUN_STEP, names.JOIN):
        return
    told = {name: kwargs.get(name) for name in ("cohort_id", "epoch", "step")}
    try:
        sender.app.send_task(names.CARRIER_DIED, kwargs=told, retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 (whatever the broker's client raises, the sweep finds the cohort)
        log.warning("death-not-told", error=type(error).__name__)
