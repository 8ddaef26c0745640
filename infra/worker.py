"""The Celery composition root: `celery -A infra.worker worker`."""

from typing import TYPE_CHECKING

from celery.signals import setup_logging

from infra import logs
from infra.settings import Settings
from infra.wiring import services
from tasks.base import application

if TYPE_CHECKING:
    from celery import Celery

settings = Settings.load()


@setup_logging.connect
def _logging(**_: object) -> None:
    logs.configure(settings.log_level)


celery: "Celery" = application(lambda: services(settings, celery))
