"""Slots and windows."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

WINDOW_S = 900
HOLD_MARGIN_S = 300
ZONE_DEG = 0.02  # about two kilometres
NO_LIMIT = 2**31 - 1

_SLOT = re.compile(r"(?:(zone|channel|partner):)?([^/]*)/(.*)/(\d+)", re.DOTALL)


class SlotKind(StrEnum):
    """What takes orders. A tenant's name has no colon, so the slots of all but kitchens begin with their kind."""

    KITCHEN = "kitchen"  # every order holds a place in its restaurant's
    ZONE = "zone"  # where its restaurant is; held as soon as a limit was ever set
    CHANNEL = "channel"  # the one that the customer wishes; likewise
    PARTNER = "partner"  # who is asked to deliver; likewise


@dataclass(frozen=True, slots=True)
class Slot:
    """One window of a kitchen, a zone, a channel or a partner; `window` is its beginning in seconds since 1970."""

    kind: SlotKind
    tenant_id: str
    name: str
    window: int

    def __str__(self) -> str:
        prefix = "" if self.kind is SlotKind.KITCHEN else f"{self.kind}:"
        return f"{prefix}{self.tenant_id}/{self.name}/{self.window}"

    @classmethod
    def read(cls, text: str) -> "Slot | None":
        """The slot of that name; None for what is none."""
        found = _SLOT.fullmatch(text)
        return found and cls(SlotKind(found[1] or SlotKind.KITCHEN), found[2], found[3], int(found[4]))


def window_start(at: datetime) -> datetime:
    """The beginning of the quarter of an hour in which `at` lies."""
    seconds = int(at.timestamp())
    return datetime.fromtimestamp(seconds - seconds % WINDOW_S, UTC)


def windows(since: datetime, until: datetime) -> Iterator[int]:
    """The beginnings of the windows of that time, in seconds since 1970."""
    return iter(range(int(window_start(since).timestamp()), math.ceil(until.timestamp()), WINDOW_S))


def slot(tenant_id: str, restaurant_id: str, at: datetime) -> str:
    """The name of a kitchen's window: `TENANT/RESTAURANT/EPOCH-SECONDS`."""
    return f"{tenant_id}/{restaurant_id}/{int(window_start(at).timestamp())}"


def zone_of(lat: float, lng: float) -> str:
    """The square of a grid in which a place lies, named by its south-western corner; for those without a name."""
    return ",".join(f"{math.floor(degrees / ZONE_DEG) * ZONE_DEG:.2f}" for degrees in (lat, lng))


def hold_expiry(at: datetime, not_after: datetime) -> datetime:
    """
    When a hold lapses by itself: only a guard against leaks.

    Never before the order's own bound, so that a run which passes the gate still has its hold; and not before
    its window is over, since the meal takes its place in the kitchen until then.
    """
    until = max(window_start(at).timestamp() + WINDOW_S, not_after.timestamp()) + HOLD_MARGIN_S
    return datetime.fromtimestamp(until, UTC)


@dataclass(frozen=True, slots=True)
class Hold:
    """
    One order's place in a slot.

    :param more: (slot, limit) of all else in which it takes a place too: in all of them, or in none
    """

    run_id: int
    order_id: str
    slot: str
    limit: int
    expires_at: datetime
    more: tuple[tuple[str, int], ...] = ()

    @property
    def slots(self) -> tuple[str, ...]:
        return (self.slot, *(slot for slot, _ in self.more))

    @property
    def limits(self) -> tuple[tuple[str, int], ...]:
        return ((self.slot, self.limit), *self.more)
