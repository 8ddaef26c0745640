"""What is asked of payment providers, restaurants and delivery partners, whoever they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

CALLS_TAKEN = (
    "all its calls are taken"  # the reason of answers to what we have not asked, to keep to his limit
)


class Kind(StrEnum):
    """What a provider does for an order."""

    PAYMENT = "payment"
    RESTAURANT = "restaurant"
    DELIVERY = "delivery"


class Resource(StrEnum):
    """What a provider can be asked to make, and to undo."""

    AUTHORIZATIONS = "authorizations"  # payment: undo voids
    CAPTURES = "captures"  # payment: undo gives all of it back
    REFUNDS = "refunds"  # payment: part of a capture or all of it, never undone
    PLACEMENTS = "placements"  # restaurant: undo withdraws
    DISPATCHES = "dispatches"  # delivery: undo recalls


class Verdict(StrEnum):
    """What is known about one item after a call."""

    DONE = "done"  # the effect stands, now or from an earlier call with this key
    UNDONE = "undone"  # no effect stands, and with tombstones none can come
    REFUSED = "refused"  # the other side said no
    UNKNOWN = "unknown"  # find only: nobody ever asked for this key
    UNAVAILABLE = "unavailable"  # not processed, surely without an effect: ask again later
    IN_DOUBT = "in-doubt"  # may have had its effect: find or undo before doing anything else


@dataclass(frozen=True, slots=True)
class Request:
    """One effect to bring about under `key`; refused by the other side after `not_after` (aware)."""

    key: str
    not_after: datetime
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """
    One item's verdict.

    :param reference: the other side's own name for the effect
    :param state: how far it has come with what it was asked for, in its own words; find only
    """

    key: str
    verdict: Verdict
    reference: str | None = None
    reason: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """
    One effect in a provider's own list.

    :param standing: False when it was undone, or can never come
    :param at: when it last changed (aware)
    """

    key: str
    standing: bool
    at: datetime
    reference: str | None = None
    amount: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """
    Part of a provider's own list.

    :param verdict: DONE; REFUSED if it keeps no such list; UNAVAILABLE if it could not be read now
    :param next: where the next part begins; None at the end
    """

    verdict: Verdict
    items: tuple[Listed, ...] = ()
    next: str | None = None
    reason: str | None = None


class Provider(Protocol):
    """
    A side of the world that keeps effects by key.

    Each call takes a cohort and gives one answer per item, in the order asked. It never raises for what the
    other side does: verdicts say it. `timeout_s` bounds the whole call, whatever the number of items.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def bulk(self) -> bool:
        """Whether a cohort travels in one request."""

    @property
    def tombstones(self) -> bool:
        """Whether an undone key, known or not, is refused for good; else a late `do` has its effect all the same."""

    def do(self, resource: str, requests: Sequence[Request], *, timeout_s: float) -> list[Answer]:
        """DONE, REFUSED, UNAVAILABLE or IN_DOUBT; the same key again gives the same effect, not a second."""

    def undo(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        """UNDONE, REFUSED, UNAVAILABLE or IN_DOUBT; an unknown key is UNDONE too, and stays so if `tombstones`."""

    def find(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        """DONE, UNDONE, UNKNOWN, UNAVAILABLE or IN_DOUBT; changes nothing."""

    def listing(
        self,
        resource: str,
        *,
        since: datetime,
        until: datetime,
        cursor: str | None,
        limit: int,
        timeout_s: float,
    ) -> Listing:
        """
        What last changed from `since` on and before `until`, each key once, in an order of the provider's own.

        A part may have fewer items than `limit`, even none, before the end.
        """
