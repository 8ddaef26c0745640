"""
One bounded log per process.

Children write to the file themselves, always at its end, so that a killed supervisor breaks no pipe; a file
that has grown too long is copied aside and cut to nothing under them.
"""

import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from app import errors
from infra import kept

MOST_BYTES = 10_000_000
_LOOK_S = 0.2


class NoLog(errors.NotFound):
    """No process of that name has logged here."""

    code = "no-log"

    def __str__(self) -> str:
        return f"no log of {self.data['name']} here: `uoop ps` names the processes"


def path(home: Path, name: str) -> Path:
    """Where a process's log is; the part before it lies beside it as ``NAME.log.1``."""
    return home / "logs" / f"{name}.log"


def writer(home: Path, name: str) -> BinaryIO:
    """The log, open for writing at its end."""
    kept.folder(kept.folder(home) / "logs")
    return path(home, name).open("ab")


def rotate(home: Path, most_bytes: int = MOST_BYTES) -> None:
    """Cut the logs that have grown too long, keeping one earlier part of each."""
    for log in (home / "logs").glob("*.log"):
        if log.stat().st_size > most_bytes:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            with log.open("r+b") as file:
                file.truncate(0)


def tail(home: Path, name: str, lines: int) -> list[str]:
    """
    The last lines of a log.

    :raises NoLog: if there is none
    """
    try:
        with path(home, name).open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
    except FileNotFoundError as error:
        raise NoLog(name=name) from error


def follow(home: Path, name: str, until: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """What is written to a log from now on, in pieces as they come."""
    log = path(home, name)
    with log.open(errors="replace") as file:
        file.seek(0, 2)
        while not until():
            if piece := file.read():
                yield piece
            elif log.stat().st_size < file.tell():
                file.seek(0)
            else:
                time.sleep(_LOOK_S)
