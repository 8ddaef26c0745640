"""
Beat's clock, without a hurry and without vain calls.

celery's own looks 10 ms before each job is due, and then over and over until it is. And most of the jobs that are due
every second have nothing to do while nothing happens: whether they have is asked first, of all at once.
"""

import time
from collections.abc import Set
from typing import Any

from celery.beat import Scheduler

from app.waiting_work import JOBS

ANYWAY_EVERY_S = 5.0
ASKED_FOR_S = 0.2  # one question for all that are due together


class Punctual(Scheduler):  # type: ignore[misc]
    """
    Sleeps until a job is due; nothing is remembered between starts, since jobs are harmless when doubled.

    The app's `work_waits` tells for which of `JOBS` something waits; without it all are sent whenever they are due.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._sent_at: dict[str, float] = {}
        self._asked_at, self._waiting = 0.0, JOBS
        super().__init__(*args, **kwargs)

    def adjust(self, n: float, drift: float = 0.0) -> float:
        """The time to wait, and not 10 ms less: several jobs a second would keep a core busy for a twentieth of it."""
        return n + drift

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send the job, unless nothing waits for it and it was sent a short while ago."""
        if entry.name in JOBS and not self._is_wanted(entry.name):
            return
        super().apply_entry(entry, producer)

    def _is_wanted(self, job: str) -> bool:
        now = time.monotonic()
        sent_at = self._sent_at.get(job)
        if sent_at is not None and now - sent_at < ANYWAY_EVERY_S and job not in self._work(now):
            return False
        self._sent_at[job] = now
        return True

    def _work(self, now: float) -> Set[str]:
        if now - self._asked_at > ASKED_FOR_S:
            self._waiting = self.app.work_waits()
            self._asked_at = time.monotonic()  # from the answer on: it may have come late
        return self._waiting
