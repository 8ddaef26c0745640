"""Prolongs the leases of the steps that this process executes, from a thread of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.runs import executions

log = structlog.get_logger()


class Heartbeat:
    """
    One thread per process, started with the first execution and beating only while there is one.

    A stopped process stops beating: that is what the lease is for.
    """

    def __init__(self, engine: Engine, *, every_s: float = executions.HEARTBEAT_S) -> None:
        self._engine, self._every_s = engine, every_s
        self._held: set[tuple[int, int, str]] = set()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def keeping(self, cohort_id: int, step: int, executor: str) -> Iterator[None]:
        """Keep the lease for as long as the block runs."""
        held = (cohort_id, step, executor)
        self._held.add(held)
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()
        self._wake.set()
        try:
            yield
        finally:
            self._held.discard(held)

    def _beat(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._held:
                pause.wait(self._every_s)
                held = sorted(self._held)
                if held:
                    self._prolong(held)

    def _prolong(self, held: list[tuple[int, int, str]]) -> None:
        try:
            with self._engine.begin() as connection:
                executions.heartbeat(connection, held)
        except SQLAlchemyError as error:
            log.warning("heartbeat-missed", error=type(error).__name__)
