"""The query string of the order list; its schema is the documented one."""

from dataclasses import replace
from datetime import UTC
from typing import Annotated, TypeVar

import msgspec
from flask import request
from msgspec import Meta

from app.orders import faults, review
from app.orders.document import PATTERN_MEANINGS, Moment, Name
from app.orders.faults import Fault
from app.orders.model import Status
from app.orders.views import OrderFilter, Position
from web import cursors
from web.cursors import InvalidQuery

Q = TypeVar("Q", bound=msgspec.Struct)


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which orders, from where on, and how many."""

    status: Status | None = None
    customer_id: Name | None = None
    restaurant_id: Name | None = None
    external_order_id: Name | None = None
    created_from: Moment | None = None
    created_until: Moment | None = None
    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50

    def filter(self) -> OrderFilter:
        """:raises InvalidQuery: when a time lies outside of the calendar"""
        return OrderFilter(
            status=self.status,
            customer_id=self.customer_id,
            restaurant_id=self.restaurant_id,
            external_order_id=self.external_order_id,
            created_from=utc("created_from", self.created_from),
            created_until=utc("created_until", self.created_until),
        )

    def after(self) -> Position | None:
        """:raises InvalidQuery: when the cursor is not one of ours"""
        if self.cursor is None:
            return None
        found = cursors.decode(self.cursor, Position)
        try:
            position = replace(found, created_at=found.created_at.astimezone(UTC))
        except OverflowError:
            raise cursors.unknown() from None
        if not position.order_id.isprintable():
            raise cursors.unknown()
        return position


class SubmitQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a submission is only looked at."""

    validate_only: bool = False


def order_list() -> ListQuery:
    """Read the query string of the current request; raises as `read` does."""
    return read(ListQuery)


def read(query: type[Q]) -> Q:
    """
    Read the query string of the current request.

    :raises InvalidQuery: with what is wrong; `pointer` names the parameter
    """
    given = request.args.to_dict(flat=False)
    values = {name: told[0] for name, told in given.items()}
    found = [
        Fault(f"/{faults.escaped(name)}"[: faults.MESSAGE_LENGTH], "repeated", "may be given once")
        for name, told in given.items()
        if len(told) > 1
    ]
    try:
        read = msgspec.convert(values, query, strict=False)
    except msgspec.ValidationError as wrong:
        first = faults.of_schema(wrong, PATTERN_MEANINGS)
        found += review.found(values, query, PATTERN_MEANINGS, strict=False) or [first]
    if found:
        raise InvalidQuery(found)
    return read


def utc(name: str, moment: Moment | None) -> Moment | None:
    """
    The moment with an offset that Postgres knows: it takes none above 15:59.

    :raises InvalidQuery: when it lies outside of the calendar
    """
    try:
        return moment and moment.astimezone(UTC)
    except OverflowError:
        raise InvalidQuery(
            [Fault(f"/{name}", "out-of-range", "lies outside of any calendar in use")]
        ) from None
