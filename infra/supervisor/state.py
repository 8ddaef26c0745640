"""
The home's lock and state file.

The lock is held as long as the supervisor lives, so it cannot be stale. The state file says what runs; it
goes away at a clean end: finding one without a held lock means that the last supervisor was killed.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from app import errors
from infra import kept


class AlreadyRunning(errors.Conflict):
    """Another supervisor runs on this home."""

    code = "already-running"

    def __str__(self) -> str:
        return f"UOOP already runs on {self.data['home']}: stop it with `uoop down`, or set UOOP_HOME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One process as last seen.

    :param since: epoch seconds
    :param state: one of the words of ``child.State``
    :param worker: whether it can be drained
    """

    name: str
    pid: int | None
    port: int | None
    restarts: int
    since: float | None
    state: str
    worker: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The whole stack as last seen; the first row is the supervisor's own."""

    ready: bool
    processes: tuple[Row, ...]

    @property
    def supervisor_pid(self) -> int:
        """Process id of the supervisor that wrote this."""
        return self.processes[0].pid or 0


def path(home: Path) -> Path:
    """Where the state file of a home is."""
    return home / "supervisor.json"


def read(home: Path) -> State | None:
    """The state as last written, or None when the last supervisor ended cleanly or never began."""
    try:
        told = json.loads(path(home).read_text())
        return State(ready=told["ready"], processes=tuple(Row(**row) for row in told["processes"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write(home: Path, state: State) -> None:
    """Replace the state file in one step."""
    kept.write(path(home), json.dumps(asdict(state), indent=1) + "\n")


@contextmanager
def lock(home: Path) -> Iterator[None]:
    """
    Hold the home.

    :raises AlreadyRunning: if another process holds it
    """
    with (kept.folder(home) / "supervisor.lock").open("a") as file:
        if not _take(file):
            raise AlreadyRunning(home=str(home))
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _take(file: TextIO) -> bool:
    """Whether the lock is ours now; tries for a moment, since :func:`is_held` may just be looking."""
    for _ in range(10):
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def is_held(home: Path) -> bool:
    """Whether a supervisor lives on this home now."""
    try:
        file = (home / "supervisor.lock").open("r")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def holder(home: Path) -> int | None:
    """Process id of the supervisor that lives on this home, also before it has written its first state."""
    if not is_held(home):
        return None
    text = (home / "supervisor.lock").read_text()
    return int(text) if text.isdigit() else None
