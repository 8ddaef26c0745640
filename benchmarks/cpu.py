"""
CPU of process families from /proc, and what this machine's CPU is worth.

A family is a process with all below it that live, and all that were below it and have been reaped: their time stands
in the fields cutime and cstime of whoever reaped them. The kernel counts in ticks of 10 ms, so measure seconds.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self

import psutil

from infra import running
from infra.settings import Settings

GENERATOR = "load generator"
APART = ("sandbox", GENERATOR, "kafka")  # not the platform
_GROUPS = {
    "api": "API",
    "postgres": "Postgres",
    "redis": "Redis",
    "sandbox": "sandbox",
    GENERATOR: GENERATOR,
    "kafka": "Kafka (mock)",
    "supervisor": "supervisor, Flower",
    "flower": "supervisor, Flower",
}
_TICKS = os.sysconf("SC_CLK_TCK")
_ROUNDS, _LAPS = 5, 4_000


def spent_s(pid: int, *, alone: bool = False) -> float:
    """
    User and system time so far; 0 for a process that is gone.

    :param alone: without those below it that live
    """
    try:
        below = [] if alone else psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return 0.0
    return sum(_ticks(each) for each in (pid, *(child.pid for child in below))) / _TICKS


def _ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return sum(int(field) for field in stat.rpartition(")")[2].split()[11:15])


class Meter:
    """
    CPU of a platform's processes, of others beside it and of ourselves as the load generator, while it is entered.

    `spent` has seconds by process name; a process that was started meanwhile counts from its start.
    """

    def __init__(self, settings: Settings | None, beside: Mapping[str, int] | None = None) -> None:
        self.spent: dict[str, float] = {}
        self.wall_s = 0.0
        self._settings, self._beside = settings, beside or {}
        self._before: dict[tuple[str, int], float] = {}
        self._since = 0.0

    def __enter__(self) -> Self:
        self._before, self._since = self._look(), time.monotonic()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.wall_s = time.monotonic() - self._since
        after = self._look()
        for key, seconds in after.items():
            self._add(key[0], seconds - self._before.get(key, 0.0))
        for key in self._before.keys() - after.keys():  # died: the supervisor buried it, and has all its life
            self._add("supervisor", -self._before[key])

    def _add(self, name: str, seconds: float) -> None:
        self.spent[name] = self.spent.get(name, 0.0) + seconds

    @property
    def platform_s(self) -> float:
        """All but sandbox, load generator and the mock of Kafka."""
        return sum(seconds for name, seconds in self.spent.items() if name not in APART)

    def per(self, count: int, unit: float = 1e3) -> dict[str, float]:
        """By group of processes, `platform` among them: milliseconds for each of so many, or other units."""
        divisor = max(count, 1) / unit
        found: dict[str, float] = {}
        for name, seconds in self.spent.items():
            group = _GROUPS.get(name, "workers, beat")
            found[group] = found.get(group, 0.0) + seconds / divisor
        found["platform"] = self.platform_s / divisor
        return {group: round(spent, 4) for group, spent in found.items()}

    def _look(self) -> dict[tuple[str, int], float]:
        rows = running.rows(self._settings) if self._settings else []
        found = {
            (row.name, row.pid): spent_s(row.pid, alone=row.name == "supervisor") for row in rows if row.pid
        }
        found |= {(name, pid): spent_s(pid) for name, pid in self._beside.items()}
        found[GENERATOR, os.getpid()] = time.process_time()
        return found


def calibration_s() -> float:
    """CPU seconds that a fixed piece of work takes here: dictionaries, JSON, hashes; the median of five."""
    return median(_calibrate() for _ in range(_ROUNDS))


def _calibrate() -> float:
    began = time.thread_time()
    kept: dict[str, int] = {}
    for lap in range(_LAPS):
        text = json.dumps({"order": lap, "items": [{"sku": f"s{n}", "quantity": n} for n in range(5)]})
        kept[hashlib.sha256(text.encode()).hexdigest()[:3]] = len(json.loads(text)["items"])
    return time.thread_time() - began
