"""
What was submitted and what ended, as lines of one length appended to files: cheap for whoever writes them, and a kill
takes none back. Only the standard library, since peers import it too.
"""

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

REFUSED_EVERY, REFUSED_AT = 10, 7
CONFIRMED, FAILED = "c", "f"
LENGTH = 12 + 1 + 1 + 1 + 17 + 1
_NAP_S = 0.002


class Refused(Exception):
    """The fourth step says no."""


def order(number: int) -> str:
    """An order's name, of one length."""
    return f"{number:012}"


def is_refused(name: str) -> bool:
    return int(name) % REFUSED_EVERY == REFUSED_AT


class Lines:
    """One file of lines: order, a letter, a time."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._path = path

    def append(self, name: str, letter: str, at: float | None = None) -> None:
        os.write(self._file, f"{name} {letter} {time.time() if at is None else at:17.6f}\n".encode())

    def count(self) -> int:
        return os.fstat(self._file).st_size // LENGTH

    def read(self) -> Iterator[tuple[str, str, float]]:
        for line in self._path.read_text().splitlines():
            name, letter, at = line.split()
            yield name, letter, float(at)


def submitted(folder: Path) -> Lines:
    """Who was handed in and taken, with the moment from which its latency counts."""
    return Lines(folder / "submitted")


def ended(folder: Path, who: str = "") -> Lines:
    """
    Who came to the end, and how.

    :param who: of several that end what they were themselves handed in
    """
    return Lines(folder / f"ended{who}")


def drive(
    submit: Callable[[str], object],
    taken: Lines,
    done: Lines,
    *,
    first: int,
    seconds: float,
    rate: float | None,
    inside: int,
    threads: int,
) -> None:
    """
    Submit from several threads for a while.

    :param rate: orders a second of an open loop; None: as many as keep so many inside
    :param first: number of the first order
    :param done: tells how many have ended
    """
    numbers, lock = itertools.count(), threading.Lock()
    began, end = time.time(), time.monotonic() + seconds
    since = done.count()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers)
            moment = began + number / rate if rate else 0.0
            while (moment > time.time()) if rate else (number - done.count() + since >= inside):
                if time.monotonic() > end:
                    return
                time.sleep(_NAP_S)
            if time.monotonic() > end:
                return
            moment = moment or time.time()
            name = order(first + number)
            submit(name)
            taken.append(name, "s", moment)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()


def listen(submit: Callable[[str], object], taken: Lines, done: Lines, *, threads: int) -> None:
    """Drive as lines on the standard input say, `FIRST SECONDS RATE INSIDE` with 0 for no rate; answer each."""
    for line in sys.stdin:
        first, seconds, rate, inside = line.split()
        drive(
            submit,
            taken,
            done,
            first=int(first),
            seconds=float(seconds),
            rate=float(rate) or None,
            inside=int(inside),
            threads=threads,
        )
        sys.stdout.write("done\n")
        sys.stdout.flush()
