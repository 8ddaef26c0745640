"""The Celery application and what every task shares."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from celery import Celery, Task
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from app.outbox.side_by_side import Relays
from app.waiting_work import JOBS
from sagas.engine import Engine
from tasks import broker_guard, burying, rejoining, unreadable_messages
from tasks.doorbell import RedisDoorbell

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """
    What tasks call, one set per process.

    :param relays: take every sink a batch further
    :param sequence: moves one batch into the event log, returns its size
    :param send_webhooks: posts what is due to receivers, for some seconds
    :param reconcile: rebuilds a capacity ledger that was lost
    :param mend_capacity: mends where ledger and truth differ, and renews the holds of orders that wait long
    :param measure_capacity: writes down what every slot has taken
    :param forecast: makes the forecasts that are due
    :param apply_reports: applies one batch of reports of deliveries, returns its size and whether others are due soon
    :param watch_deliveries: looks after deliveries of which nothing was reported in time
    :param maintain: makes and drops partitions
    :param replan_pool: plans the own fleet's pool anew, returns how many orders have another courier, or a final one
    :param settle: goes on comparing our books with the providers' lists, for a moment
    """

    engine: Engine
    doorbell: RedisDoorbell
    sequence: Callable[[], int]
    relays: Relays
    send_webhooks: Callable[[], bool]
    apply_reports: Callable[[], tuple[int, bool]]
    watch_deliveries: Callable[[], int]
    reconcile: Callable[[], None]
    mend_capacity: Callable[[], None]
    measure_capacity: Callable[[], None]
    forecast: Callable[[], None]
    maintain: Callable[[], None]
    settle: Callable[[], None]
    replan_pool: Callable[[], int]


def made(app: Celery) -> Services:
    """
    This process's services, made with its first call.

    A pool's main process may have made some as well, for instance to tell of a death. Whoever is forked after that
    inherits them, and two processes on one connection to Postgres read each other's answers and commit each other's
    halves. The inherited stay referenced, unused: collecting them would close the parent's connections.
    """
    process = os.getpid()
    if process not in app.services_made:
        app.services_made[process] = app.services_factory()
    found: Services = app.services_made[process]
    return found


class ServiceTask(Task):  # type: ignore[misc]
    """A task that finds its services."""

    abstract = True

    @property
    def services(self) -> Services:
        return made(self.app)


class ControlTask(ServiceTask):
    """A task that looks for work: while a store is away there is none, and beat calls again anyway."""

    abstract = True
    send_events = False  # several a second, of which Flower would tell nothing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except (OperationalError, InterfaceError, RedisError) as error:
            log.warning("store-away", task=self.name, error=type(error).__name__)


def application(services_factory: Callable[[], Services], **configuration: Any) -> Celery:
    """The Celery application; `services_factory` is called once in each worker process."""
    broker_guard.install()
    unreadable_messages.install()
    rejoining.install()
    burying.install()
    app = Celery("uoop", task_cls=ServiceTask, include=["tasks.steps", "tasks.control"])
    app.config_from_object("celeryconfig")
    app.conf.update(configuration)
    app.steps["consumer"].add(rejoining.Rejoin)
    app.services_factory, app.services_made = services_factory, {}  # made: by process id
    app.work_waits = lambda: JOBS  # beat's process knows better
    app.set_default()
    return app
