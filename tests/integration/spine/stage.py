"""Executors that move one at a time, from one yield to the next, as somebody else decides, and may die at each."""

import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

import psycopg2
from sqlalchemy import Connection, event
from sqlalchemy import Engine as Database
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

FEW_MS = 0.004
DEADLOCK_S = 0.03  # longer than the test database's own patience
BOUND_S = 20.0


class Died(BaseException):
    """The executor's process was killed here."""


class Now(Enum):
    """What an executor does."""

    MOVING = auto()  # or waiting for a lock that another has
    YIELDED = auto()
    OVER = auto()


class Executor:
    """
    A thread with a piece of work.

    :param over: told whether the work came to its end, and with what
    """

    def __init__(
        self, stage: "Stage", name: str, work: Callable[[], Any], over: Callable[[Any], None]
    ) -> None:
        self.name, self.at, self.now, self.pid = name, "start", Now.MOVING, 0
        self.error: BaseException | None = None
        self.doomed = self.mishears = False
        self._stage, self._work, self._over = stage, work, over
        self._turn = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    def pause(self, moment: str) -> None:
        """A yield: others may do anything before this executor goes on, or dies."""
        self._report(Now.YIELDED, moment)
        self._turn.acquire()
        if self.doomed:
            raise Died

    def resume(self) -> None:
        self.now = Now.MOVING
        self._turn.release()

    def _live(self) -> None:
        self._stage.mine.executor = self
        try:
            self.pause("start")
            result = self._work()
            self.pause("end")
            self._over(result)
        except Died:
            pass
        except BaseException as error:  # noqa: BLE001 (told to whoever runs the stage)
            self.error = error
        self._report(Now.OVER, "over")

    def _report(self, now: Now, moment: str) -> None:
        with self._stage.changed:
            self.now, self.at = now, moment
            self._stage.changed.notify_all()


class Stage:
    """
    Runs executors one at a time. Each statement, commit and call of theirs is a yield.

    One that waits in Postgres for another's lock is left waiting; it goes on when it can.
    """

    def __init__(self, db: Database) -> None:
        self.mine = threading.local()
        self.changed = threading.Condition()
        self.executors: list[Executor] = []
        self.deadlocks: list[str] = []
        self._db = db
        with db.connect() as connection:
            dsn = connection.connection.dbapi_connection.info.dsn_parameters  # type: ignore[union-attr]
            password = connection.connection.dbapi_connection.info.password  # type: ignore[union-attr]
        self._watch = psycopg2.connect(**{k: v for k, v in dsn.items() if k != "options"}, password=password)
        self._watch.autocommit = True
        self._listening = (
            ("before_cursor_execute", self._statement),
            ("commit", self._commit),
            ("handle_error", self._error),
        )
        for name, heard in self._listening:
            event.listen(db, name, heard)

    def close(self) -> None:
        """Let everybody die."""
        for executor in self.executors:
            executor.doomed = True
        while self.executors:
            for executor in self.executors:
                if executor.now is Now.YIELDED:
                    executor.resume()
            self._quiet()
        for name, heard in self._listening:
            event.remove(self._db, name, heard)
        self._watch.close()

    def pause(self, moment: str) -> None:
        """Called wherever something happens that others can see; nothing for who is no executor."""
        executor = getattr(self.mine, "executor", None)
        if executor is not None:
            executor.pause(moment)

    def start(
        self, name: str, work: Callable[[], Any], over: Callable[[Any], None] = lambda _: None
    ) -> Executor:
        """An executor that has not begun yet."""
        executor = Executor(self, name, work, over)
        self.executors.append(executor)
        self._quiet()
        return executor

    def step(self, executor: Executor, times: int | None = 1) -> None:
        """Let it go on for that many yields, None is to its end; less if it comes to wait for another's lock."""
        while executor.now is Now.YIELDED and times != 0:
            executor.resume()
            self._quiet()
            times = None if times is None else times - 1

    def kill(self, executor: Executor) -> None:
        """Let it die where it is; one that waits for a lock dies as soon as it has it."""
        executor.doomed = True
        self.step(executor)

    def free(self) -> list[Executor]:
        """Those that could go on."""
        return [executor for executor in self.executors if executor.now is Now.YIELDED]

    def _statement(self, connection: Connection, *rest: Any) -> None:
        executor = getattr(self.mine, "executor", None)
        if executor is not None:
            executor.pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
            executor.pause(" ".join(str(rest[1]).split())[:60])

    def _commit(self, connection: Connection) -> None:
        self.pause("commit")
        executor = getattr(self.mine, "executor", None)
        if executor is not None and executor.mishears:
            executor.mishears = False
            connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]
            raise OperationalError("COMMIT", {}, ConnectionError("the answer was lost"))

    def _error(self, context: ExceptionContext) -> None:
        if isinstance(context.original_exception, psycopg2.errors.DeadlockDetected):
            self.deadlocks.append(" ".join(str(context.statement).split())[:60])

    def _quiet(self) -> None:
        """Wait until everybody has yielded, is over, or waits for somebody's lock; bury the dead."""
        for _ in range(int(BOUND_S / FEW_MS)):
            with self.changed:
                self.changed.wait_for(lambda: not self._moving(), FEW_MS)
                moving = self._moving()
            waiting = self._waiting(moving)
            if len(waiting) > 1:  # perhaps for each other: then Postgres ends it
                threading.Event().wait(DEADLOCK_S)
                waiting = self._waiting(moving)
            if len(waiting) == len(self._moving()):
                break
        else:
            raise AssertionError(f"it never yields: {[(e.name, e.at) for e in self._moving()]}")
        over = [executor for executor in self.executors if executor.now is Now.OVER]
        self.executors = [executor for executor in self.executors if executor.now is not Now.OVER]
        for executor in over:
            if executor.error is not None and not isinstance(executor.error, OperationalError):
                raise executor.error

    def _moving(self) -> list[Executor]:
        return [executor for executor in self.executors if executor.now is Now.MOVING]

    def _waiting(self, moving: Sequence[Executor]) -> list[Executor]:
        if not moving:
            return []
        with self._watch.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_locks WHERE NOT granted AND pid = ANY(%s)", ([e.pid for e in moving],)
            )
            pids = {row[0] for row in cursor.fetchall()}
        return [executor for executor in moving if executor.pid in pids]
