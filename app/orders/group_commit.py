"""Group commit: whatever is submitted while one transaction runs goes into the next, together."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from app import errors
from app.doorbell import Bell, Doorbell
from app.orders import accept
from app.orders.accept import Answer, StartWith
from app.orders.model import Accepted, NewOrder

MAX_BATCH = 256

log = structlog.get_logger()


class CannotAccept(errors.Unavailable):
    """The order could not be stored now; it is safe to send it again with the same key."""

    code = "cannot-accept"


class GroupCommit:
    """One committing thread per process, one transaction at a time."""

    def __init__(
        self, engine: Engine, doorbell: Doorbell, start: StartWith, *, max_batch: int = MAX_BATCH
    ) -> None:
        self._engine, self._doorbell, self._start, self._max_batch = engine, doorbell, start, max_batch
        self._waiting: SimpleQueue[tuple[NewOrder, Future[Accepted]]] = SimpleQueue()
        threading.Thread(target=self._run, name="group-commit", daemon=True).start()

    def submit(self, new: NewOrder) -> "Future[Accepted]":
        """
        Accept one order with whoever else is waiting.

        The future holds the acceptance once it is committed, or raises KeyReused, ExternalIdTaken or CannotAccept.
        """
        future: Future[Accepted] = Future()
        self._waiting.put((new, future))
        return future

    def _run(self) -> None:
        while True:
            group = self._next_group()
            try:
                answers: Sequence[Answer | CannotAccept] = self._commit([new for new, _ in group])
            except Exception:  # whatever it was, nobody may wait for ever
                log.exception("group-commit-failed", size=len(group))
                answers = [CannotAccept() for _ in group]
            for (_, future), answer in zip(group, answers, strict=True):
                if isinstance(answer, Accepted):
                    future.set_result(answer)
                else:
                    future.set_exception(answer)

    def _next_group(self) -> list[tuple[NewOrder, "Future[Accepted]"]]:
        group = [self._waiting.get()]
        while len(group) < self._max_batch:
            try:
                group.append(self._waiting.get_nowait())
            except Empty:
                break
        return group

    def _commit(self, batch: Sequence[NewOrder]) -> Sequence[Answer | CannotAccept]:
        try:
            with self._engine.begin() as connection:
                answers = accept.accept(connection, batch, self._start)
        except (OperationalError, InterfaceError) as error:
            log.warning("database-away", error=type(error.orig).__name__)
            return self._read_again(batch)
        except DBAPIError:
            if len(batch) == 1:
                log.exception("order-not-storable")
                return [CannotAccept()]
            half = len(batch) // 2
            return [*self._commit(batch[:half]), *self._commit(batch[half:])]
        self._doorbell.ring(Bell.CLAIM)
        self._doorbell.ring(Bell.RELAY)
        return answers

    def _read_again(self, batch: Sequence[NewOrder]) -> Sequence[Answer | CannotAccept]:
        """The connection was lost, perhaps in the commit: what stands is accepted, the rest is to be sent again."""
        try:
            with self._engine.begin() as connection:
                found = accept.committed(connection, batch)
        except DBAPIError:
            found = {}
        return [found.get(n, CannotAccept()) for n in range(len(batch))]
