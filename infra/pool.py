"""
A worker of one queue: `python -m infra.pool worker-steps --queue steps --processes 2`.

What `celery -A infra.worker worker` does too, without loading every other command first: a worker that has died
is back in half the time.
"""

import argparse
import os
import socket
import sys

from celery.signals import worker_ready

from infra.supervisor import readiness
from infra.worker import celery, settings
from tasks import names


def main() -> int:
    arguments = _arguments()
    if arguments.queue == names.OPTIMIZER:
        import app.optimization.assign  # noqa: F401, PLC0415 (OR-Tools: once, here, for all that are forked)
    worker_ready.connect(_tell)
    worker = celery.Worker(
        hostname=f"{arguments.name}@{socket.gethostname()}",
        queues=[arguments.queue],
        concurrency=arguments.processes,
        loglevel=settings.log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or os.EX_OK)


def _tell(**_: object) -> None:
    readiness.say_ready()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.pool", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--queue", required=True)
    parser.add_argument("--processes", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
