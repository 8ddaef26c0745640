"""
Celery beat under a lease in Postgres: `python -m infra.beat`.

Any number may be started; one beats. It ends itself when it cannot prolong its lease, before the lease runs out,
so that a successor never beats beside it for long; its jobs are harmless when doubled anyway.
"""

import os
import socket
import threading
from functools import partial

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app import database, leases, waiting_work
from app.doorbell import Bell
from infra import logs, wiring
from infra.supervisor import readiness
from infra.worker import celery, settings

NAME = "beat"
LEASE_S = 5.0
PROLONG_EVERY_S = 1.0
MISSED_AT_MOST = 3

log = structlog.get_logger()


def main() -> None:
    logs.configure(settings.log_level)
    readiness.say_ready()  # another may hold the lease: to wait for it is work, too
    url = settings.database_url.get_secret_value()
    db = database.engine(url, pool_size=1)
    holder = f"{socket.gethostname()}:{os.getpid()}"
    pause = threading.Event()
    while not _take(db, holder):
        pause.wait(PROLONG_EVERY_S)
    threading.Thread(target=_keep, args=(db, holder), name="lease", daemon=True).start()
    sinks = [sink.name for sink in wiring.sinks(settings, db, _nobody)]
    asking = database.engine(url, pool_size=1, patience_s=waiting_work.ANSWER_S)
    celery.work_waits = partial(waiting_work.ask, asking, sinks=sinks)
    celery.Beat(loglevel=settings.log_level, quiet=True).run()


def _nobody(_: Bell) -> None:
    """Nothing is published from here."""


def _take(db: Engine, holder: str) -> bool:
    try:
        with db.begin() as connection:
            return leases.take(connection, NAME, holder=holder, for_s=LEASE_S) is not None
    except SQLAlchemyError as error:
        log.warning("database-away", error=type(error).__name__)
        return False


def _keep(db: Engine, holder: str) -> None:
    pause = threading.Event()
    missed = 0
    while missed < MISSED_AT_MOST:
        pause.wait(PROLONG_EVERY_S)
        missed = 0 if _take(db, holder) else missed + 1
    log.error("lease-lost")
    os._exit(75)  # at once: whoever has the lease beats now


if __name__ == "__main__":
    main()
