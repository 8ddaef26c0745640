"""How effects come and go: by key, once, and never again after they were undone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from app.providers.port import Kind, Resource
from infra.sandbox.ledger import Known, Ledger, Line

Key = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_:.-]{1,200}$")]
OrderId = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
Amount = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,4})?$")]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$")]

T = TypeVar("T")

RESOURCES = {
    Kind.PAYMENT: (Resource.AUTHORIZATIONS, Resource.CAPTURES, Resource.REFUNDS),
    Kind.RESTAURANT: (Resource.PLACEMENTS,),
    Kind.DELIVERY: (Resource.DISPATCHES,),
}


class Item(msgspec.Struct, frozen=True):
    """What is asked for under a key; fields that no rule looks at are passed over."""

    key: Key
    not_after: Annotated[datetime, msgspec.Meta(tz=True)]
    order: OrderId
    customer: str = ""


class Authorization(Item, frozen=True, kw_only=True):
    amount: Amount
    currency: Currency


class Capture(Authorization, frozen=True, kw_only=True):
    authorization: Key


class Refund(Authorization, frozen=True, kw_only=True):
    capture: Key


class Asked(msgspec.Struct, frozen=True):
    """A key to undo or to find."""

    key: Key


class _InBulk(msgspec.Struct, Generic[T], frozen=True):
    items: Annotated[list[T], msgspec.Meta(max_length=1_000)]


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item of an answer; `status` is done, refused, undone, unknown or unavailable."""

    key: str
    status: str
    reference: str | None = None
    reason: str | None = None


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One effect in a provider's list; `status` is done or undone, `at` when it last changed."""

    key: str
    status: str
    at: str
    reference: str | None = None
    amount: str | None = None
    currency: str | None = None


class Page(msgspec.Struct, frozen=True):
    items: list[Entry]
    next: str | None


class Listing(msgspec.Struct, frozen=True):
    """What of the list is asked for."""

    since: Annotated[datetime, msgspec.Meta(tz=True)]
    until: Annotated[datetime, msgspec.Meta(tz=True)]
    cursor: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1_000


AskedInBulk = _InBulk[Asked]
BULK_TYPES: dict[Resource, type[_InBulk[Any]]] = {
    Resource.AUTHORIZATIONS: _InBulk[Authorization],
    Resource.CAPTURES: _InBulk[Capture],
    Resource.REFUNDS: _InBulk[Refund],
    Resource.PLACEMENTS: _InBulk[Item],
    Resource.DISPATCHES: _InBulk[Item],
}
ITEM_TYPES: dict[Resource, type[Item]] = {
    Resource.AUTHORIZATIONS: Authorization,
    Resource.CAPTURES: Capture,
    Resource.REFUNDS: Refund,
    Resource.PLACEMENTS: Item,
    Resource.DISPATCHES: Item,
}


# What an effect is taken from, and what may be taken from it.
_BELOW = {Resource.CAPTURES: Resource.AUTHORIZATIONS, Resource.REFUNDS: Resource.CAPTURES}
_ABOVE = {below: above for above, below in _BELOW.items()}
_KEPT = {Resource.AUTHORIZATIONS: "captured", Resource.CAPTURES: "refunded"}


class Effects:
    """One provider's effects of one resource. What is answered has been recorded."""

    def __init__(
        self,
        ledger: Ledger,
        provider: str,
        resource: Resource,
        clock: Callable[[], datetime],
        *,
        tombstones: bool = True,
    ) -> None:
        self._ledger = ledger
        self._provider = provider
        self._resource = resource
        self._clock = clock
        self._tombstones = tombstones
        self._place = ledger.place(provider, resource)
        below, above = _BELOW.get(resource), _ABOVE.get(resource)
        self._below = ledger.place(provider, below) if below else 0
        self._above = ledger.place(provider, above) if above else 0

    @property
    def last_seq(self) -> int:
        return self._ledger.last_seq

    def do(self, items: Sequence[Item], refused: frozenset[str] = frozenset()) -> list[Outcome]:
        """Bring about what is new and allowed; keys in `refused` are declined unless done before."""
        now = self._clock()
        at, seq = _rfc3339(now), self._ledger.last_seq
        known = self._ledger.known(self._place, [item.key for item in items])
        founded_on = self._known_below(items)
        taken = self._taken_below(items)
        lines, outcomes = list[Line](), list[Outcome]()
        for item in items:
            before = known.get(item.key)
            if before is not None:
                outcomes.append(self._again(item.key, before))
                continue
            reason = (
                "declined" if item.key in refused else "too-late" if item.not_after <= now else None
            ) or _uncovered(item, founded_on, taken)
            if reason is not None:
                outcomes.append(Outcome(item.key, "refused", reason=reason))
                continue
            line = self._line(seq + len(lines) + 1, item, at)
            lines.append(line)
            known[item.key] = Known(line, undone=False)
            if isinstance(item, Refund):
                taken[item.capture] = taken.get(item.capture, Decimal(0)) + Decimal(item.amount)
            outcomes.append(Outcome(item.key, "done", self._reference(line)))
        self._ledger.record(lines)
        return outcomes

    def undo(self, keys: Sequence[str]) -> list[Outcome]:
        """Undo what was done, and see to it that what was not can never be; what others were taken from stays."""
        at, seq = _rfc3339(self._clock()), self._ledger.last_seq
        known = self._ledger.known(self._place, keys)
        used = self._ledger.taken(self._above, keys).keys() if self._above else frozenset()
        lines, outcomes = list[Line](), list[Outcome]()
        for key in keys:
            before = known.get(key)
            if key in used:
                outcomes.append(Outcome(key, "refused", reason=_KEPT[self._resource]))
                continue
            if before is None and not self._tombstones:
                outcomes.append(Outcome(key, "unknown"))
                continue
            if before is None or not before.undone:
                line = self._undoing(seq + len(lines) + 1, key, before, at)
                lines.append(line)
                known[key] = Known(before.done if before else None, undone=True)
            outcomes.append(Outcome(key, "undone"))
        self._ledger.record(lines)
        return outcomes

    def find(self, keys: Sequence[str]) -> list[Outcome]:
        known = self._ledger.known(self._place, keys)
        return [self._found(key, known.get(key)) for key in keys]

    def listing(self, asked: Listing) -> Page:
        """Part of the list of what last changed in a span of time."""
        lines, more = self._ledger.listing(
            self._place, _rfc3339(asked.since), _rfc3339(asked.until), asked.cursor, asked.limit
        )
        entries = [
            Entry(
                line.key,
                "done" if line.op == "do" else "undone",
                line.at,
                self._reference(line) if line.op == "do" else None,
                line.amount,
                line.currency,
            )
            for line in lines
        ]
        return Page(entries, None if more is None else str(more))

    def _again(self, key: str, known: Known) -> Outcome:
        if known.undone or known.done is None:
            return Outcome(key, "refused", reason="undone")
        return Outcome(key, "done", self._reference(known.done))

    def _found(self, key: str, known: Known | None) -> Outcome:
        if known is None:
            return Outcome(key, "unknown")
        reference = self._reference(known.done) if known.done else None
        return Outcome(key, "undone" if known.undone else "done", reference)

    def _known_below(self, items: Sequence[Item]) -> dict[str, Known]:
        keys = [key for item in items if (key := _founded_on(item))]
        return self._ledger.known(self._below, keys) if keys else {}

    def _taken_below(self, items: Sequence[Item]) -> dict[str, Decimal]:
        """What was refunded of each capture; captures of one authorization are not added up."""
        keys = [item.capture for item in items if isinstance(item, Refund)]
        return self._ledger.taken(self._place, keys) if keys else {}

    def _line(self, seq: int, item: Item, at: str) -> Line:
        paid = item if isinstance(item, Authorization) else None
        return Line(
            seq,
            self._place,
            item.key,
            "do",
            item.order,
            at,
            paid.amount if paid else None,
            paid.currency if paid else None,
            _founded_on(item),
        )

    def _undoing(self, seq: int, key: str, before: Known | None, at: str) -> Line:
        done = before.done if before else None
        if done is None:
            order = key.partition(":")[0]
            return Line(seq, self._place, key, "tombstone", order, at, None, None, None)
        return done._replace(seq=seq, op="undo", at=at, authorization=None)

    def _reference(self, line: Line) -> str:
        return f"{self._provider}-{line.seq}"


def _founded_on(item: Item) -> str | None:
    """The key of what a payment is taken from."""
    return (
        item.authorization
        if isinstance(item, Capture)
        else item.capture
        if isinstance(item, Refund)
        else None
    )


def _uncovered(item: Item, below: dict[str, Known], taken: dict[str, Decimal]) -> str | None:
    """Why a capture has no money to take, or a refund none to give back."""
    key = _founded_on(item)
    if key is None or not isinstance(item, Authorization):
        return None
    known = below.get(key)
    missing, exceeds = (
        ("not-captured", "exceeds-capture")
        if isinstance(item, Refund)
        else ("not-authorized", "exceeds-authorization")
    )
    if known is None or known.done is None or known.undone:
        return missing
    left = Decimal(known.done.amount or 0) - taken.get(key, Decimal(0))
    covers = known.done.currency == item.currency and left >= Decimal(item.amount)
    return None if covers else exceeds


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
