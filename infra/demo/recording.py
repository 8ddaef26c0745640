"""
Reads a recorded day from a folder of tab-separated files, each with one header line:

    orders.txt       order, x, y (of the door), placement_time, restaurant, ready_time
    restaurants.txt  restaurant, x, y
    couriers.txt     courier, x, y, on_time, off_time

Times are whole minutes of the day, positions metres in a plane.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from app import errors
from infra.demo.rejects import Reject

LAST_MINUTE = 3 * 24 * 60  # days go on past midnight
FARTHEST_M = 1_000_000.0


class NoDay(errors.NotFound):
    """The folder does not hold a recorded day."""

    code = "no-day"

    def __str__(self) -> str:
        return f"{self.data['path']} is missing: a day needs orders.txt, restaurants.txt and couriers.txt"


@dataclass(frozen=True, slots=True)
class Kitchen:
    """Where a restaurant is."""

    id: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Rider:
    """Where a courier begins, and when he is on duty."""

    id: str
    x: float
    y: float
    on_minute: int
    off_minute: int


@dataclass(frozen=True, slots=True)
class Placed:
    """An order: its door, when it was placed and when its meal was ready. `line` is its line in the file."""

    id: str
    x: float
    y: float
    minute: int
    restaurant: str
    ready_minute: int
    line: int


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded day, orders by the minute of their placement, and the lines that could not be read."""

    name: str
    orders: tuple[Placed, ...]
    kitchens: tuple[Kitchen, ...]
    riders: tuple[Rider, ...]
    rejects: tuple[Reject, ...]


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


_R = TypeVar("_R", bound=_Identified)
_Parse = Callable[[int, Sequence[str]], _R]


def read(folder: Path) -> Recording:
    """
    Read a recorded day; broken lines become rejects.

    :raises NoDay: if a file is missing
    """
    rejects: list[Reject] = []
    kitchens = _read(folder / "restaurants.txt", 3, _kitchen, rejects)
    riders = _read(folder / "couriers.txt", 5, _rider, rejects)
    known = {kitchen.id for kitchen in kitchens}

    def placed(line: int, fields: Sequence[str]) -> Placed:
        if fields[4] not in known:
            raise ValueError(f"restaurant {fields[4]!r} is not in restaurants.txt")
        return _placed(line, fields)

    orders = _read(folder / "orders.txt", 6, placed, rejects)
    orders.sort(key=lambda order: order.minute)
    return Recording(folder.resolve().name, tuple(orders), tuple(kitchens), tuple(riders), tuple(rejects))


def _read(path: Path, columns: int, parse: _Parse[_R], rejects: list[Reject]) -> list[_R]:
    try:
        lines = path.read_text(errors="backslashreplace").splitlines()
    except FileNotFoundError:
        raise NoDay(path=str(path)) from None
    found: dict[str, _R] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        fields = line.split("\t")
        try:
            if len(fields) != columns:
                raise ValueError(f"has {len(fields)} columns, not {columns}")
            one = parse(number, fields)
            if not one.id or one.id in found:
                raise ValueError(f"the id {one.id!r} is there already" if one.id else "has no id")
            found[one.id] = one
        except ValueError as error:
            rejects.append(Reject(path.name, number, str(error), line))
    return list(found.values())


def _kitchen(_: int, fields: Sequence[str]) -> Kitchen:
    return Kitchen(fields[0], _metres(fields[1]), _metres(fields[2]))


def _rider(_: int, fields: Sequence[str]) -> Rider:
    on_minute, off_minute = _minute(fields[3]), _minute(fields[4])
    if off_minute < on_minute:
        raise ValueError("goes off duty before he is on")
    return Rider(fields[0], _metres(fields[1]), _metres(fields[2]), on_minute, off_minute)


def _placed(line: int, fields: Sequence[str]) -> Placed:
    minute, ready_minute = _minute(fields[3]), _minute(fields[5])
    if ready_minute < minute:
        raise ValueError("is ready before it is placed")
    return Placed(fields[0], _metres(fields[1]), _metres(fields[2]), minute, fields[4], ready_minute, line)


def _metres(text: str) -> float:
    value = float(text)
    if not abs(value) <= FARTHEST_M:  # also not a number
        raise ValueError(f"{text!r} metres is no place in a city")
    return value


def _minute(text: str) -> int:
    value = int(text)
    if not 0 <= value <= LAST_MINUTE:
        raise ValueError(f"{text!r} is no minute of a day")
    return value
