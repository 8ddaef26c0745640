"""The Celery composition root: `celery -A infra.worker worker`."""

import resource
from typing import TYPE_CHECKING

from celery.signals import setup_logging, worker_process_init

from app import crash_points
from infra import garbage, logs
from infra.settings import Settings
from infra.wiring import services
from tasks import names
from tasks.base import application, made

if TYPE_CHECKING:
    from celery import Celery

settings = Settings.load()
if settings.crash_points:
    crash_points.arm(settings.home / "crash-points")


@setup_logging.connect
def _logging(**_: object) -> None:
    logs.configure(settings.log_level)


@worker_process_init.connect
def _warm_up(**_: object) -> None:
    """Bound the memory; connect and load now what the first cohort would wait for."""
    resource.setrlimit(resource.RLIMIT_DATA, (settings.child_memory_mb << 20,) * 2)
    made(celery)
    if not {names.OPTIMIZER, names.PARTNER}.isdisjoint(celery.amqp.queues.consume_from):
        from app.optimization.assign import assign  # noqa: PLC0415 (loads OR-Tools)
        from app.optimization.model import Problem  # noqa: PLC0415

        assign(Problem(jobs=(), couriers=(), partners=()))
    garbage.settle()


celery: "Celery" = application(lambda: services(settings, celery))
