"""
What a killed supervisor, or a killed process, left running.

Every child carries its home and its name in its environment and hands them on to its own children, in
whatever session those are. Postgres and Redis write their titles over their environment: their trace
tells them.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from app import errors
from infra.supervisor.process import Trace

HOME_MARK = "_UOOP_CHILD_OF"  # without the prefix of settings, which children check
NAME_MARK = "_UOOP_CHILD_NAME"
_PATIENCE_S = 10.0


class WillNotDie(errors.Unavailable):
    """Processes of an earlier start cannot be ended."""

    code = "will-not-die"

    def __str__(self) -> str:
        return f"processes {self.data['pids']} of an earlier start cannot be ended: end them, then try again"


def marks(home: Path, name: str) -> Mapping[str, str]:
    """The variables by which a child is found again."""
    return {HOME_MARK: str(home), NAME_MARK: name}


def find(home: Path, traces: Iterable[Trace], name: str | None = None) -> list[psutil.Process]:
    """
    Processes that belong to this home, without ourselves.

    :param name: only those of this child; the traces given should then be its own
    """
    known = tuple(traces)
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and (_is_marked(process, home, name) or _is_traced(process, known)):
                found.append(process)
    return found


def kill(home: Path, traces: Iterable[Trace], name: str | None = None) -> int:
    """
    Kill what belongs to this home until nothing is left; returns how many there were.

    :raises WillNotDie: if something survives for 10 seconds
    """
    known = tuple(traces)
    killed: set[int] = set()
    waits = int(_PATIENCE_S / 0.1)
    for _ in range(waits):
        left = find(home, known, name)
        if not left:
            return len(killed)
        for process in left:
            with suppress(psutil.Error):
                process.kill()
                killed.add(process.pid)
        psutil.wait_procs(left, timeout=0.1)
    raise WillNotDie(pids=sorted(process.pid for process in left))


def _is_marked(process: psutil.Process, home: Path, name: str | None) -> bool:
    environment = process.environ()
    return environment.get(HOME_MARK) == str(home) and name in {None, environment.get(NAME_MARK)}


def _is_traced(process: psutil.Process, traces: tuple[Trace, ...]) -> bool:
    return any(process.name() == trace.program and process.cwd() == str(trace.folder) for trace in traces)
