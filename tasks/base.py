"""The Celery application and what every task shares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from celery import Celery, Task
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from app.outbox.relay import Relay
from sagas.engine import Engine
from tasks import broker_guard
from tasks.doorbell import RedisDoorbell

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """
    What tasks call, one set per process.

    :param sequence: moves one batch into the event log, returns its size
    :param reconcile: brings the capacity ledger back to the truth
    :param maintain: makes and drops partitions
    """

    engine: Engine
    doorbell: RedisDoorbell
    sequence: Callable[[], int]
    relays: tuple[Relay, ...]
    reconcile: Callable[[], None]
    maintain: Callable[[], None]


class ServiceTask(Task):  # type: ignore[misc]
    """A task that finds its services; they are made with the first call, after the pool has forked."""

    abstract = True
    _made: Services | None = None

    @property
    def services(self) -> Services:
        if ServiceTask._made is None:
            factory: Callable[[], Services] = self.app.services_factory
            ServiceTask._made = factory()
        return ServiceTask._made


class ControlTask(ServiceTask):
    """A task that looks for work: while a store is away there is none, and beat calls again anyway."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except (OperationalError, InterfaceError, RedisError) as error:
            log.warning("store-away", task=self.name, error=type(error).__name__)


def application(services_factory: Callable[[], Services], **configuration: Any) -> Celery:
    """The Celery application; `services_factory` is called once in each worker process."""
    broker_guard.install()
    app = Celery("uoop", task_cls=ServiceTask, include=["tasks.steps", "tasks.control"])
    app.config_from_object("celeryconfig")
    app.conf.update(configuration)
    app.services_factory = services_factory
    app.set_default()
    return app
