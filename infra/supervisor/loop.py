"""The supervisor: starts what is to run in order, restarts what dies, stops all in order."""

import io
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
from structlog.typing import Processor

from app import errors
from infra.supervisor import drains, logs, state
from infra.supervisor.child import Child, State
from infra.supervisor.process import Process

_QUICK_S, _IDLE_S = 0.05, 0.5  # between two looks while something becomes ready, and otherwise
_ROTATE_S = 5.0
_HOOK_S = 5.0
_HURRY_S = 1.0
_MOST_DEATHS_AT_START = 6
_AT_REST = (State.STOPPING, State.STOPPED)
_REFUSES = 2  # the exit status of one who says what is wrong and would say it again
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class CannotStart(errors.Unavailable):
    """A process of the stack does not come up."""

    code = "cannot-start"

    def __str__(self) -> str:
        return f"{self.data['name']} does not come up ({self.data['reason']}): see {self.data['log']}"


_PROCESSORS: tuple[Processor, ...] = (
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.LogfmtRenderer(key_order=["timestamp", "event"]),
)


def _nothing(*_: object) -> None:
    pass


class Supervisor:
    """
    Runs processes until told to stop. The caller holds the home's lock and has removed the remains.

    :param drain_s: bound of the whole stop
    :param unclean: whether the last supervisor of this home was killed
    :param on_unclean_worker_death: called beside the loop with the process id of a worker that died without
        being asked to, and after an unclean end once, with None, before the first worker starts. It may take its
        time and may raise
    :param on_ready: called once, when every process has been ready
    :param tell: shown to whoever watches, one line each
    """

    def __init__(
        self,
        *,
        home: Path,
        processes: Sequence[Process],
        drain_s: float,
        unclean: bool = False,
        on_unclean_worker_death: Callable[[int | None], None] = _nothing,
        on_ready: Callable[[], None] = _nothing,
        tell: Callable[[str], None] = _nothing,
    ) -> None:
        self._home = home
        self._drain_s = drain_s
        self._unclean = unclean
        self._hook = on_unclean_worker_death
        self._on_ready = on_ready
        self._tell = tell
        self._checks = ThreadPoolExecutor(max_workers=4, thread_name_prefix="readiness")
        self._children = [Child(process, home, self._checks) for process in processes]
        self._began_at = time.time()
        self._at_once = max(2, len(os.sched_getaffinity(0)))
        self._stops = 0
        self._is_ready = False
        self._written: state.State | None = None
        self._rotated_at = 0.0

    def run(self) -> None:
        """
        Run until SIGTERM, SIGINT or SIGHUP; a second one hurries the stop.

        :raises CannotStart: if a process does not become ready at first; what had started is stopped again
        """
        with _woken() as self._wake, logs.writer(self._home, "supervisor") as file, self._heard():
            self._log = structlog.wrap_logger(
                structlog.WriteLogger(io.TextIOWrapper(file, write_through=True)), processors=_PROCESSORS
            )
            self._note("supervisor-began", pid=os.getpid())
            drains.clear(self._home)
            try:
                while not self._stops:
                    self._look()
                    self._wait()
            finally:
                self._drain()
                self._checks.shutdown(wait=False, cancel_futures=True)

    def _note(self, event: str, **fields: object) -> None:
        """Log; a full disk must not end the supervisor."""
        with suppress(OSError):
            self._log.info(event, **fields)

    def _look(self) -> None:
        now = time.monotonic()
        resting = drains.wanted(self._home)
        for child in self._children:
            if child.look_dead(now):
                self._note_death(child)
            self._follow_drain(child, child.process.name in resting, now)
            if self._has_room(now) and (
                child.is_due or (child.state is State.WAITING and self._may_begin(child))
            ):
                self._start(child, now)
            if child.look_ready(now):
                self._note_ready(child)
            self._check_start(child, now)
        self._note_all_ready()
        self._save()
        if now - self._rotated_at > _ROTATE_S:
            self._rotated_at = now
            with suppress(OSError):
                logs.rotate(self._home)

    def _follow_drain(self, child: Child, rests: bool, now: float) -> None:
        """Let a worker finish and end, or begin again, as an operator wants it."""
        if rests and child.process.worker and child.was_ready and child.state not in _AT_REST:
            self._note("worker-drain-began", name=child.process.name)
            child.stop()
        elif not rests and child.state is State.STOPPED:
            self._start(child, now)

    def _may_begin(self, child: Child) -> bool:
        return all(other.was_ready for other in self._children if other.process.stage < child.process.stage)

    def _has_room(self, now: float) -> bool:
        """No more at once than there are cores: who is listed first is at work before the next begins to load."""
        return sum(child.keeps_a_core_busy(now) for child in self._children) < self._at_once

    def _start(self, child: Child, now: float) -> None:
        if child.process.worker and self._unclean:
            self._unclean = False
            self._call_hook(None).join(_HOOK_S)
        try:
            child.start(now)
        except OSError as error:
            child.fail(now)
            self._note("process-not-started", name=child.process.name, error=str(error))
        else:
            self._note("process-started", name=child.process.name, pid=child.row().pid)

    def _note_death(self, child: Child) -> None:
        self._note("process-ended", name=child.process.name, exit=child.last_exit, state=child.state.value)
        if child.state is State.DONE:
            self._note_ready(child)
        elif child.state is State.BACKOFF:
            self._tell(f"{child.process.name} died ({_exit(child.last_exit)}), starting it again")
        if child.process.worker and (child.state is State.BACKOFF or (child.last_exit and not self._stops)):
            self._call_hook(child.last_pid)

    def _note_ready(self, child: Child) -> None:
        self._note("process-ready", name=child.process.name)
        if not self._is_ready and not child.process.once:
            self._tell(f"{child.process.name} is ready")

    def _check_start(self, child: Child, now: float) -> None:
        """:raises CannotStart: if the child has had its chances and has never been ready"""
        if child.was_ready or child.first_started_at is None:
            return
        if child.process.once and child.last_exit == _REFUSES:
            (said,) = logs.tail(self._home, child.process.name, 1) or ("",)
            raise CannotStart(name=child.process.name, reason=said, log=self._log_of(child))
        if child.deaths >= _MOST_DEATHS_AT_START:
            raise CannotStart(name=child.process.name, reason=_exit(child.last_exit), log=self._log_of(child))
        if now - child.first_started_at > child.process.ready_within_s:
            reason = f"not ready after {child.process.ready_within_s:.0f} s"
            raise CannotStart(name=child.process.name, reason=reason, log=self._log_of(child))

    def _note_all_ready(self) -> None:
        if not self._is_ready and all(child.was_ready for child in self._children):
            self._is_ready = True
            self._note("stack-ready", after_s=round(time.time() - self._began_at, 2))
            self._save()
            self._on_ready()

    def _call_hook(self, pid: int | None) -> threading.Thread:
        def call() -> None:
            try:
                self._hook(pid)
            except Exception as error:  # noqa: BLE001 - the hook is another's: its failure must not stop us
                self._note("hook-failed", error=str(error))

        thread = threading.Thread(target=call, daemon=True, name="unclean-worker-death")
        thread.start()
        return thread

    def _drain(self) -> None:
        """Stop stage after stage within the bound; what is left at a stage's share of it is killed."""
        began = time.monotonic()
        self._note("drain-began")
        for number in sorted({child.process.stop_stage for child in self._children}):
            stage = [child for child in self._children if child.process.stop_stage == number]
            for child in stage:
                child.stop()
            self._await_end(stage, began + self._drain_s * max(child.process.stop_share for child in stage))
        clean = not self._unclean and not any(
            child.killed and child.process.worker for child in self._children
        )
        self._note("drain-ended", clean=clean, took_s=round(time.monotonic() - began, 2))
        self._save()
        if clean:
            state.path(self._home).unlink(missing_ok=True)

    def _await_end(self, stage: list[Child], end: float) -> None:
        while any(child.is_alive for child in stage):
            self._bury(stage)
            if self._stops > 1:
                end = min(end, time.monotonic() + _HURRY_S)
            if time.monotonic() > end:
                for child in stage:
                    child.kill()
            self._save()
            if any(child.is_alive for child in stage):
                self._wait(_QUICK_S)

    def _bury(self, stage: list[Child]) -> None:
        for child in stage:
            if child.look_dead(time.monotonic()):
                self._note_death(child)

    def _wait(self, most_s: float | None = None) -> None:
        """Sleep until a signal comes, one of a child's death among them."""
        busy = any(child.state in {State.STARTING, State.BACKOFF} for child in self._children)
        select.select([self._wake], [], [], most_s or (_QUICK_S if busy or not self._is_ready else _IDLE_S))
        with suppress(BlockingIOError):
            os.read(self._wake, 4096)

    def _save(self) -> None:
        own = state.Row(
            name="supervisor",
            pid=os.getpid(),
            port=None,
            restarts=0,
            since=self._began_at,
            state="stopping" if self._stops else "running",
        )
        rows = (own, *(child.row() for child in self._children if not child.process.once))
        now = state.State(ready=self._is_ready and not self._stops, processes=rows)
        if now != self._written:
            with suppress(OSError):
                state.write(self._home, now)
                self._written = now

    def _log_of(self, child: Child) -> Path:
        return logs.path(self._home, child.process.name)

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Count stop signals instead of dying of them."""

        def heard(number: int, _frame: FrameType | None) -> None:
            self._stops += number != signal.SIGCHLD

        before: dict[int, Any] = {
            number: signal.signal(number, heard) for number in (*_SIGNALS, signal.SIGCHLD)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _woken() -> Iterator[int]:
    """A file descriptor that becomes readable whenever a signal arrives."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
