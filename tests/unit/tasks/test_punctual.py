"""Beat's clock waits by sleeping, and calls nobody in vain."""

import time
from types import SimpleNamespace

import pytest
from celery import Celery

from app.waiting_work import CLAIM, JOBS, SWEEP
from tasks import punctual
from tasks.punctual import Punctual


def test_a_job_is_waited_for_by_sleeping():
    app = Celery(broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"job": {"task": "job", "schedule": 0.2}}
    scheduler = Punctual(app=app)
    sent, looks = [], 0
    scheduler.apply_entry = lambda entry, **_: sent.append(entry.name)

    while len(sent) < 3:
        looks += 1
        time.sleep(max(0.0, scheduler.tick()))

    assert sent == ["job"] * 3
    assert looks < 20


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(punctual, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(
        "celery.beat.Scheduler.apply_entry", lambda _self, entry, producer=None: names.append(entry.name)
    )
    return names


def scheduler(*waiting: str) -> Punctual:
    app = Celery(broker="memory://", set_as_current=False)
    app.work_waits = lambda: frozenset(waiting)
    return Punctual(app=app, lazy=True)


def call(scheduler: Punctual, *names: str) -> None:
    for name in names:
        scheduler.apply_entry(SimpleNamespace(name=name))


def test_a_job_for_which_nothing_waits_is_called_now_and_then(
    clock: SimpleNamespace, sent: list[str]
) -> None:
    beat = scheduler(SWEEP)
    for _ in range(12):
        call(beat, CLAIM, SWEEP)
        clock.s += 1

    assert sent.count(SWEEP) == 12
    assert sent.count(CLAIM) == 3


def test_an_answer_that_comes_late_serves_all_jobs_that_are_due(
    clock: SimpleNamespace, sent: list[str]
) -> None:
    beat, asked = scheduler(), []

    def late() -> frozenset[str]:
        asked.append(clock.s)
        clock.s += 2
        return JOBS

    beat.app.work_waits = late
    call(beat, *JOBS)
    call(beat, *JOBS)

    assert len(sent) == 2 * len(JOBS)
    assert len(asked) == 1


def test_other_jobs_are_called_whenever_they_are_due(clock: SimpleNamespace, sent: list[str]) -> None:
    beat = scheduler()
    call(beat, "reconcile", "reconcile")

    assert sent == ["reconcile"] * 2


def test_every_job_that_waits_for_work_is_one_of_beats() -> None:
    import celeryconfig  # noqa: PLC0415 (reads the settings)

    assert celeryconfig.beat_schedule.keys() >= JOBS
