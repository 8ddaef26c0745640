"""
One process while it lives, dies and is started again.

    waiting -> starting -> running -> backoff -> starting ...
                  |  once: -> done         any -> stopping -> stopped, drained: -> starting
"""

import os
import signal
import subprocess
import time
from concurrent.futures import Executor, Future
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from infra.supervisor import backoff, logs, remains
from infra.supervisor.process import Process
from infra.supervisor.state import Row

_SETTLE_S = 2.0  # a process without a check that lives so long at first has found all that it imports
_BUSY_S = 3.0  # who is not ready by then waits for something, rather than keeping a core busy


class State(StrEnum):
    """What a child is doing."""

    WAITING = "waiting"  # for the stages before its own
    STARTING = "starting"  # runs, has not answered yet
    RUNNING = "running"
    BACKOFF = "backoff"  # has died, is started again soon
    DONE = "done"  # ran once, to its end
    STOPPING = "stopping"
    STOPPED = "stopped"  # at the end, or drained


class Child:
    """A :class:`Process` and what has become of it. Times are monotonic seconds, given by the loop."""

    def __init__(self, process: Process, home: Path, checks: Executor) -> None:
        self.process = process
        self.state = State.WAITING
        self.restarts = 0
        self.was_ready = False
        self.killed = False
        self.deaths = 0
        self.last_exit: int | None = None
        self.last_pid: int | None = None
        self.started_at = 0.0
        self.first_started_at: float | None = None
        self._since: float | None = None
        self._due_at = 0.0
        self._home = home
        self._checks = checks
        self._check: Future[bool] | None = None
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process has been started and its end has not been seen."""
        return self._popen is not None

    @property
    def is_due(self) -> bool:
        """Whether it has died and is to be started now."""
        return self.state is State.BACKOFF and time.monotonic() >= self._due_at

    def keeps_a_core_busy(self, now: float) -> bool:
        """Whether it has just been started and is loading what it needs."""
        return self.state is State.STARTING and now - self.started_at < _BUSY_S

    def row(self) -> Row:
        """The child as ``uoop ps`` shows it."""
        return Row(
            name=self.process.name,
            pid=self._popen.pid if self._popen else None,
            port=self.process.port,
            restarts=self.restarts,
            since=self._since,
            state=self.state.value,
            worker=self.process.worker,
        )

    def start(self, now: float) -> None:
        """Start the process in its own session; it writes to its own log."""
        self.first_started_at = self.first_started_at or now
        self.started_at = now
        if self.process.before_start:
            self.process.before_start()
        with logs.writer(self._home, self.process.name) as log:
            self._popen = subprocess.Popen(
                self.process.command,
                env={**self.process.env, **remains.marks(self._home, self.process.name)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.restarts += self.deaths > 0
        self._since = time.time()
        self._check = None
        self.state = State.STARTING

    def look_ready(self, now: float) -> bool:
        """Whether it has become ready just now. The check runs beside the loop, one at a time."""
        if self.state is not State.STARTING or self.process.once:
            return False
        if self.process.ready is None:
            settled = self.was_ready or now - self.started_at >= _SETTLE_S
            return settled and self._become_ready(State.RUNNING)
        if self._check is None:
            self._check = self._checks.submit(self.process.ready)
        elif self._check.done():
            answered = self._check.result()
            self._check = None
            return answered and self._become_ready(State.RUNNING)
        return False

    def look_dead(self, now: float) -> bool:
        """Whether it has died just now; then everything that it had started is killed too."""
        if self._popen is None or not _has_ended(self._popen.pid):
            return False
        self._bury(now)
        if self.state is State.STOPPING:
            self.state = State.STOPPED
        elif self.process.once and self.last_exit == 0:
            self._become_ready(State.DONE)
        else:
            self.fail(now)
        return True

    def fail(self, now: float) -> None:
        """Count a death, or a start that did not succeed, and wait before the next start."""
        self.deaths = backoff.deaths_in_a_row(self.deaths, now - self.started_at)
        self._due_at = now + backoff.delay_s(self.deaths)
        self.state = State.BACKOFF

    def stop(self) -> None:
        """Ask the process to end; a child that is not running is stopped at once."""
        if self._popen is None:
            self.state = State.STOPPED
            return
        self.state = State.STOPPING
        os.kill(self._popen.pid, self.process.stop_signal)  # ours until we bury it: Popen would bury it here

    def kill(self) -> None:
        """End the process and everything that it started, now."""
        if self._popen is not None:
            self.killed = True
            self.state = State.STOPPING
            os.kill(self._popen.pid, signal.SIGKILL)

    def _become_ready(self, state: State) -> bool:
        self.state = state
        self.was_ready = True
        return True

    def _bury(self, now: float) -> None:
        """Kill the rest of the group while the dead leader still holds its number, then strays elsewhere."""
        assert self._popen is not None  # noqa: S101 - narrows the type; look_dead has asked
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self.last_exit, self.last_pid = self._popen.wait(), self._popen.pid
        self._popen = None
        self._since = None
        traces = [self.process.trace] if self.process.trace else []
        with suppress(remains.WillNotDie):  # the next start will say what is in its way
            remains.kill(self._home, traces, self.process.name)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
