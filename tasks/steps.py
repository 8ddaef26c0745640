"""The tasks that carry a cohort. `Ignore` ends a chain or chord whose carrier does not lead any more."""

from celery import shared_task
from celery.exceptions import Ignore

from tasks import names
from tasks.base import ServiceTask


@shared_task(name=names.RUN_STEP, bind=True)
def run_step(self: ServiceTask, *, cohort_id: int, epoch: int, stage: int, step: int, **_: object) -> None:
    if not self.services.engine.run_step(cohort_id, epoch, stage, step):
        raise Ignore


@shared_task(name=names.JOIN, bind=True)
def join(self: ServiceTask, *, cohort_id: int, epoch: int, stage: int, **_: object) -> None:
    if not self.services.engine.join(cohort_id, epoch, stage):
        raise Ignore
