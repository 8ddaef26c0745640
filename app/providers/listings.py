"""What an HTTP answer says of a provider's own list: a part is read whole or not at all."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from app.providers.port import Listed, Listing, Verdict

_NO_LIST = frozenset({404, 405, 501})


class _Status(StrEnum):
    DONE = "done"
    UNDONE = "undone"


class _Item(msgspec.Struct, frozen=True):
    key: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,200}$")]
    status: _Status
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    reference: str | None = None
    amount: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,6})?$")] | None = None
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$")] | None = None


class _Page(msgspec.Struct, frozen=True):
    items: list[_Item]
    next: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] | None = None


_READ_PAGE = msgspec.json.Decoder(_Page)


def read(status: int, body: bytes, cursor: str | None) -> Listing:
    """
    :param cursor: of the part that was asked for; the next part begins elsewhere, else reading would never end
    """
    if status in _NO_LIST:
        return Listing(Verdict.REFUSED, reason=f"status {status}")
    if status != 200:
        return Listing(Verdict.UNAVAILABLE, reason=f"status {status}")
    try:
        page = _READ_PAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Listing(Verdict.UNAVAILABLE, reason="unreadable list")
    if page.next is not None and page.next == cursor:
        return Listing(Verdict.UNAVAILABLE, reason="the list goes in a circle")
    return Listing(Verdict.DONE, tuple(_listed(item) for item in page.items), page.next)


def _listed(item: _Item) -> Listed:
    return Listed(
        item.key,
        item.status is _Status.DONE,
        item.at,
        item.reference,
        None if item.amount is None else Decimal(item.amount),
        item.currency,
    )
