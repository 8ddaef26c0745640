"""
How a provider misbehaves: told at run time for a provider, or by magic in an order's customer.

    anything/TARGET:BEHAVIOR[:SECONDS][@once][,TARGET:BEHAVIOR...]

TARGET is a provider's name, a kind, a resource or `all`. The first clause that fits the call applies; one
with `@once` only the first time for an order at a provider's resource (since the sandbox was started).
"""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec

REMEMBERED = 100_000
_DEFAULT_SECONDS = 30.0


class Name(StrEnum):
    REFUSE = "refuse"  # the business says no
    KEEP = "keep"  # works, but takes nothing back
    FAIL = "fail"  # an error without an effect
    SLOW = "slow"  # waits, then does the work and answers
    HANG = "hang"  # no effect and never an answer
    LATE = "late"  # does the work, then waits before it answers
    GARBAGE = "garbage"  # does the work, answers nonsense
    DOWN = "down"  # no effect, and the connection is closed
    STALE = (
        "stale"  # told at run time only: never answers what is to be done, and does it so many seconds later
    )
    DELIVER = (
        "deliver"  # told at run time only: no misbehavior, but what is dispatched is delivered, and told of
    )
    MUTE = "mute"  # told at run time only: never answers, and never does, an undoing


class Behavior(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    `seconds` matters for slow, late, stale and deliver; `share` says how many calls (refuse, deliver: items) are hit;
    `to` is where deliver tells of it, `http://HOST:PORT`.
    """

    behavior: Name
    seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = _DEFAULT_SECONDS
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    to: Annotated[str, msgspec.Meta(pattern=r"^http://[0-9a-z.-]+:[0-9]{1,5}(?![\s\S])")] | None = None


class Control:
    """What a provider was told at run time. A share is spread evenly: 0.25 hits every fourth."""

    def __init__(self) -> None:
        self._told: Behavior | None = None
        self._due = 0.0

    @property
    def told(self) -> Behavior | None:
        return self._told

    def tell(self, behavior: Behavior | None) -> None:
        self._told, self._due = behavior, 0.0

    def is_down(self) -> bool:
        return self._told is not None and self._told.behavior is Name.DOWN

    def next_call(self) -> Behavior | None:
        """What hits this call as a whole."""
        return None if self.refuses() or self.keeps() or self.delivers() else self._drawn()

    def refuses(self) -> bool:
        return self._told is not None and self._told.behavior is Name.REFUSE

    def keeps(self) -> bool:
        """Whether it refuses every undoing."""
        return self._told is not None and self._told.behavior is Name.KEEP

    def refuses_next_item(self) -> bool:
        return self.refuses() and self._drawn() is not None

    def delivers(self) -> bool:
        return self._told is not None and self._told.behavior is Name.DELIVER

    def delivers_next_item(self) -> bool:
        return self.delivers() and self._drawn() is not None

    def _drawn(self) -> Behavior | None:
        told = self._told
        if told is None:
            return None
        self._due += told.share
        if self._due < 1 - 1e-9:
            return None
        self._due -= 1
        return told


class _Clause(NamedTuple):
    text: str
    target: str
    behavior: Behavior
    once: bool


class Magic:
    """Reads the magic in customers, and remembers which `@once` clauses are spent."""

    def __init__(self) -> None:
        self._spent: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def behavior(self, customer: str, order: str, targets: frozenset[str], place: str) -> Behavior | None:
        """What hits an order's item at `place`, which answers to `targets`."""
        _, slash, text = customer.rpartition("/")
        if not slash or ":" not in text:
            return None
        for clause in map(_clause, text.split(",")):
            if clause is None or clause.target not in targets:
                continue
            if not clause.once or self._spend((order, place, clause.text)):
                return clause.behavior
        return None

    def _spend(self, use: tuple[str, str, str]) -> bool:
        if use in self._spent:
            return False
        self._spent[use] = None
        if len(self._spent) > REMEMBERED:
            self._spent.popitem(last=False)
        return True


def _clause(text: str) -> _Clause | None:
    """A clause, or nothing: a customer's name may look odd without meaning magic."""
    target, _, rest = text.removesuffix("@once").partition(":")
    name, _, seconds = rest.partition(":")
    try:
        behavior = msgspec.convert(
            {"behavior": name, "seconds": seconds or _DEFAULT_SECONDS}, Behavior, strict=False
        )
    except msgspec.ValidationError:
        return None
    return _Clause(text, target, behavior, text.endswith("@once"))
