"""
A plain Celery chain with a chord, and an error callback that undoes.

As its documentation asks of tasks that must not be lost: acknowledged late, rejected when a worker is lost. Results are
kept only where the chord needs them.
"""

import os
from pathlib import Path

from celery import Celery, chain, group

from benchmarks.peers import lines
from benchmarks.peers.lines import Refused

FOLDER = Path(os.environ["BENCH_FOLDER"])
ENDED = lines.ended(FOLDER)

app = Celery("peer", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_RESULTS"])
app.conf.task_acks_late = True
app.conf.task_reject_on_worker_lost = True
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False


@app.task
def validate(name: str) -> None:
    pass


@app.task(ignore_result=False)  # members of a chord
def reserve(name: str) -> None:
    pass


@app.task(ignore_result=False)
def authorize(name: str) -> None:
    pass


@app.task(throws=(Refused,))
def dispatch(name: str) -> None:
    if lines.is_refused(name):
        raise Refused


@app.task
def confirm(name: str) -> None:
    ENDED.append(name, lines.CONFIRMED)


@app.task
def void(name: str) -> None:
    pass


@app.task
def release(name: str) -> None:
    ENDED.append(name, lines.FAILED)


def submit(name: str) -> None:
    undo = void.si(name)
    undo.link(release.si(name))
    order = chain(
        validate.si(name),
        group(reserve.si(name), authorize.si(name)),
        dispatch.si(name),
        confirm.si(name),
    )
    order.on_error(undo).apply_async()
