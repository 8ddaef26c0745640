"""
Group commit: whatever is submitted while one transaction runs goes into the next, together.

An order costs a quarter in a group of 25 of what it costs in one of 5, so groups are paced: who comes soon after the
last one began waits for others. Who comes later is never kept waiting.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from app import crash_points, errors
from app.crash_points import Point
from app.doorbell import Bell, Doorbell
from app.orders import accept
from app.orders.accept import Answer, StartWith
from app.orders.model import Accepted, NewOrder

MAX_BATCH = 256
PACE_S = 0.025
IN_VAIN, AT_ONCE = 3, 30  # groups

log = structlog.get_logger()


class CannotAccept(errors.Unavailable):
    """The order could not be stored now; it is safe to send it again with the same key."""

    code = "cannot-accept"


Told = list[tuple[Any, Answer | CannotAccept]]  # who asked, and what he is told
Tell = Callable[[Told], None]
Group = list[tuple[NewOrder, Any, Tell]]


class Pace:
    """
    When the next group may begin: a pace after the last one began, as long as that brings orders together.

    Who sends each order after the answer to the one before is always alone, and would only be slowed down: after
    three groups in a row that waited for nobody, thirty begin at once.
    """

    def __init__(self, pace_s: float) -> None:
        self._pace_s = pace_s
        self._not_before = 0.0
        self._in_vain = self._at_once = 0

    def wait_s(self, now: float) -> float:
        """For how long a group that could begin now has to wait."""
        return max(0.0, self._not_before - now)

    def begins(self, size: int, *, waited: bool, now: float) -> None:
        """A group begins; it is that of the one who came first and of those who came while he waited."""
        if size > 1:
            self._in_vain = self._at_once = 0
        elif waited:
            self._in_vain += 1
            self._at_once = AT_ONCE if self._in_vain >= IN_VAIN else 0
        elif self._at_once:
            self._at_once -= 1
        self._not_before = 0.0 if self._at_once else now + self._pace_s


class GroupCommit:
    """
    One committing thread per process, one transaction at a time; beside it a full group in another, since more come
    than one can take in.
    """

    def __init__(
        self,
        engine: Engine,
        doorbell: Doorbell,
        start: StartWith,
        *,
        max_batch: int = MAX_BATCH,
        pace_s: float = PACE_S,
    ) -> None:
        """
        :param engine: better :func:`app.orders.accept.engine`, which saves two ways
        :param pace_s: between the beginnings of two groups, as `Pace` says
        """
        self._engine = engine
        self._doorbell, self._start = doorbell, start
        self._max_batch, self._pace = max_batch, Pace(pace_s)
        self._waiting: SimpleQueue[tuple[NewOrder, Any, Tell]] = SimpleQueue()
        self._beside, self._is_alone = ThreadPoolExecutor(1, "group-commit-beside"), threading.Semaphore()
        threading.Thread(target=self._run, name="group-commit", daemon=True).start()

    def submit(self, new: NewOrder) -> "Future[Accepted]":
        """
        Accept one order with whoever else is waiting.

        The future holds the acceptance once it is committed, or raises KeyReused, ExternalIdTaken, InFlight
        or CannotAccept.
        """
        future: Future[Accepted] = Future()
        self.submit_for(new, future, tell_futures)
        return future

    def submit_for(self, new: NewOrder, asker: object, tell: Tell) -> None:
        """The same for an asker who is told in his own way; `tell` is called once per group and `tell`."""
        self._waiting.put((new, asker, tell))

    def _run(self) -> None:
        while True:
            group = self._next_group()
            if len(group) == self._max_batch and self._is_alone.acquire(blocking=False):
                self._beside.submit(self._serve_beside, group)
            else:
                self._serve(group)

    def _serve_beside(self, group: Group) -> None:
        try:
            self._serve(group)
        finally:
            self._is_alone.release()

    def _serve(self, group: Group) -> None:
        try:
            answers = self._commit([new for new, _, _ in group])
        except Exception:  # whatever it was, nobody may wait for ever
            log.exception("group-commit-failed", size=len(group))
            answers = [CannotAccept() for _ in group]
        told: dict[Tell, Told] = {}
        for (_, asker, tell), answer in zip(group, answers, strict=True):
            told.setdefault(tell, []).append((asker, answer))
        for tell, pairs in told.items():
            _tell(tell, pairs)

    def _next_group(self) -> Group:
        group = [self._waiting.get()]
        is_full = len(group) + self._waiting.qsize() >= self._max_batch  # and need not wait for more
        wait_s = 0.0 if is_full else self._pace.wait_s(time.monotonic())
        time.sleep(wait_s)
        while len(group) < self._max_batch:
            try:
                group.append(self._waiting.get_nowait())
            except Empty:
                break
        self._pace.begins(len(group), waited=wait_s > 0, now=time.monotonic())
        return group

    def _commit(self, batch: Sequence[NewOrder]) -> Sequence[Answer | CannotAccept]:
        try:
            answers = self._accept(batch)
        except (OperationalError, InterfaceError) as error:
            log.warning("database-away", error=type(error.orig).__name__)
            return [CannotAccept() for _ in batch]
        except DBAPIError:
            if len(batch) == 1:
                log.exception("order-not-storable")
                return [CannotAccept()]
            half = len(batch) // 2
            return [*self._commit(batch[:half]), *self._commit(batch[half:])]
        crash_points.reach(Point.ACCEPT_AFTER_COMMIT)
        self._doorbell.ring(Bell.CLAIM)
        self._doorbell.ring(Bell.RELAY)
        return answers

    def _accept(self, batch: Sequence[NewOrder]) -> Sequence[Answer]:
        """
        Commit the batch; if the connection is lost, once more on a new one.

        Should the lost one have been committed after all, the keys are found and the orders are replays; while
        its session still has the locks, they are in flight.
        """
        for last in (False, True):
            try:
                with self._engine.begin() as connection:
                    return accept.accept(connection, batch, self._start)
            except (OperationalError, InterfaceError):
                if last:
                    raise
        raise AssertionError("unreachable")


def tell_futures(pairs: Told) -> None:
    """Tell askers who wait for futures of their own thread or loop."""
    for future, answer in pairs:
        if future.cancelled():
            continue
        if isinstance(answer, Accepted):
            future.set_result(answer)
        else:
            future.set_exception(answer)


def _tell(tell: Tell, pairs: Told) -> None:
    try:
        tell(pairs)
    except Exception:  # one deaf asker must not silence the others
        log.exception("answer-not-taken", askers=len(pairs))
