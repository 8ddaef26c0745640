"""
The order as a client writes it: the one source of its schema.

The structs below are compiled into the decoder that every submission goes through, and the documented JSON
Schema is derived from them as well (`schema`). What a schema cannot say stands in `_contradictions`: decimals
by currency, the sum, the window, duplicate keys.

Amounts are exact decimal strings in the currency's major unit ("1.250" BHD); times are RFC 3339 with offset.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from app import errors
from app.orders import faults, review
from app.orders.currencies import EXPONENTS
from app.orders.faults import Fault

T = TypeVar("T")


class InvalidOrder(errors.Rejected):
    """The order document is not valid."""

    code = "invalid-order"

    def __init__(self, found: list[Fault]) -> None:
        """:param found: what is wrong, in the order in which it was met; never empty"""
        super().__init__(faults=found)
        self.faults = found


class MalformedJson(InvalidOrder):
    """The body is not a JSON document."""

    code = "malformed-json"


# "Nothing follows" instead of "$": Python's "$" lets a last newline pass, JSON Schema's does not.
_TEXT = r"^[^\u0000-\u001f\u007f-\u009f]*(?![\s\S])"
_AMOUNT = r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,4})?(?![\s\S])"
_CURRENCY = r"^[A-Z]{3}(?![\s\S])"
_NEED = r"^[a-z][a-z0-9-]{0,31}(?![\s\S])"

PATTERN_MEANINGS = {
    _TEXT: "must not hold control characters",
    _AMOUNT: "must be a plain decimal such as '12.50': not negative, no exponent, no leading zeros",
    _CURRENCY: "must be an ISO 4217 code such as 'BHD'",
    _NEED: "must be lower-case letters, digits and dashes, a letter first",
}

Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=_TEXT)]
Amount = Annotated[
    str,
    Meta(
        max_length=17,
        pattern=_AMOUNT,
        description="Exact decimal in the major unit; no more decimals than ISO 4217 gives the currency.",
        examples=["1.250"],
    ),
]
Need = Annotated[str, Meta(pattern=_NEED)]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset.")]

EARLIEST_YEAR, LATEST_YEAR = 2000, 2100
"""Bounds of a requested window: what lies outside is a slip, and cannot be stored in every offset."""


class ChannelPreference(StrEnum):
    """Who the client would like to see the meal delivered by."""

    OWN_FLEET = "own_fleet"
    PARTNER = "partner"
    PICKUP = "pickup"


class Item(Struct, forbid_unknown_fields=True, frozen=True):
    """One line of the order."""

    sku: Annotated[str, Meta(min_length=1, max_length=64, pattern=_TEXT, examples=["margherita"])]
    name: Annotated[str, Meta(min_length=1, max_length=200, pattern=_TEXT, examples=["Pizza Margherita"])]
    quantity: Annotated[int, Meta(ge=1, le=1000)]
    unit_price: Amount


class Fee(Struct, forbid_unknown_fields=True, frozen=True):
    """An amount on top of the items, such as delivery or service."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=_TEXT, examples=["delivery"])]
    amount: Amount


class Location(Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Where the meal goes, WGS 84 degrees, and what it takes to bring it there."""

    lat: Annotated[float, Meta(ge=-90, le=90)]
    lng: Annotated[float, Meta(ge=-180, le=180)]
    address: Annotated[str, Meta(min_length=1, max_length=500, pattern=_TEXT)]
    needs: Annotated[
        list[Need],
        Meta(
            max_length=8,
            description="What the courier must have, by names agreed with you: a vehicle, a skill. Our own couriers "
            "are chosen by it, and partners are told.",
            examples=[["car", "cool-box"]],
        ),
    ] = []


class Window(Struct, forbid_unknown_fields=True, frozen=True):
    """When the client wants the meal."""

    start: Moment = field(name="from")
    until: Moment


class Order(Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """A meal order. The total equals the sum of quantity x unit_price plus the fees, exactly."""

    customer_id: Name
    restaurant_id: Name
    items: Annotated[list[Item], Meta(min_length=1, max_length=100)]
    delivery_location: Location
    total_amount: Amount
    currency: Annotated[str, Meta(pattern=_CURRENCY, description="ISO 4217.", examples=["BHD"])]
    fees: Annotated[list[Fee], Meta(max_length=20)] = []
    external_order_id: Name | None = None
    requested_window: Window | None = None
    confirm_within_s: (
        Annotated[
            int,
            Meta(
                ge=5,
                le=86_400,
                description="Seconds in which the order must be confirmed, from its acceptance or, with a later "
                "window, from its release 45 minutes before it. An order that is not is undone and fails as "
                "`expired`. Without it your account's usual time applies.",
                examples=[600],
            ),
        ]
        | None
    ) = None
    channel_preference: ChannelPreference | None = None
    notes: Annotated[str, Meta(max_length=1000, pattern=_TEXT)] | None = None


_decode = msgspec.json.Decoder(Order).decode
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> Order:
    """
    Read an order, complete or not at all.

    :raises MalformedJson: when the body is not one JSON document in UTF-8
    :raises InvalidOrder: when the document is not a valid order; carries the faults
    """
    try:
        order = _decode(body)
    except msgspec.ValidationError as wrong:
        raise _refusal(body, faults.of_schema(wrong, PATTERN_MEANINGS)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise MalformedJson([Fault("", "malformed", str(wrong))]) from None
    if (_may_have_duplicates(order, body) or not _is_consistent(order)) and (found := _all_faults(body)):
        raise InvalidOrder(found)
    return order


def _refusal(body: bytes, first: Fault) -> InvalidOrder:
    """
    Tell all that is wrong with a body that the decoder has refused.

    :param first: what the decoder met first, should a second look find nothing
    """
    try:
        return InvalidOrder(_all_faults(body) or [first])
    except review.NotJson as wrong:
        return MalformedJson([Fault("", "malformed", str(wrong)[: faults.MESSAGE_LENGTH])])


def _all_faults(body: bytes) -> list[Fault]:
    value = review.read(body)
    return [*review.found(value, Order, PATTERN_MEANINGS), *_contradictions(_draft(value))]


def fingerprint(order: Order) -> str:
    """
    Tell whether two submissions say the same: 32 hex digits.

    White space, the order of fields, escapes and nulls for absent fields do not count; how an amount is
    written does.
    """
    return blake2b(_encode(order), digest_size=16).hexdigest()


def schema(ref_template: str) -> dict[str, dict[str, Any]]:
    """Give the JSON Schemas of an order and its parts by name; `ref_template` holds `{name}`."""
    return msgspec.json.schema_components([Order], ref_template=ref_template)[1]


@dataclass(frozen=True, slots=True)
class Draft:
    """What of a refused document can be read; None for what cannot."""

    currency: str | None
    items: list[Item | None] | None
    fees: list[Fee | None] | None
    total_amount: str | None
    requested_window: Window | None


def _draft(value: object) -> Draft:
    given = value if isinstance(value, dict) else {}
    fields = {field.name: field.type for field in msgspec.structs.fields(Order)}

    def part(name: str) -> Any:
        return _as(fields[name], given.get(name))

    def parts(name: str, form: type[T], absent: list[T | None] | None) -> list[T | None] | None:
        listed = given.get(name, absent)
        return [_as(form, each) for each in listed] if isinstance(listed, list) else None

    return Draft(
        part("currency"),
        parts("items", Item, None),
        parts("fees", Fee, []),
        part("total_amount"),
        part("requested_window"),
    )


def _as(form: Any, value: object) -> Any:
    try:
        return msgspec.convert(value, form)
    except ValueError:  # msgspec's own refusal is one, and so is that of a lone surrogate
        return None


def _is_consistent(order: Order) -> bool:
    """
    Whether there are surely no contradictions in an order without a window: those with one are read again anyway.

    One pass, since every submission comes by here. An exact sum has as many decimals as the part that has most.
    """
    exponent = EXPONENTS.get(order.currency)
    if exponent is None or _decimals_of(order.total_amount) > exponent:
        return False
    total = Decimal(0)
    for item in order.items:
        total += item.quantity * Decimal(item.unit_price)
    for fee in order.fees:
        total += Decimal(fee.amount)
    return total == Decimal(order.total_amount) and int(total.as_tuple().exponent) >= -exponent


def _contradictions(order: Order | Draft) -> Iterator[Fault]:
    """Find what the schema cannot say."""
    exponent = EXPONENTS.get(order.currency or "")
    if exponent is not None:
        yield from _decimals(order, exponent)
    elif order.currency is not None:
        yield Fault("/currency", "unknown-currency", "is not an ISO 4217 currency in use")
    yield from _total(order)
    if order.requested_window is not None:
        yield from _window(order.requested_window)


def _total(order: Order | Draft) -> Iterator[Fault]:
    """The sum, where everything that goes into it can be read."""
    total = Decimal(0)
    for item in order.items or (None,):
        if item is None:
            return
        total += item.quantity * Decimal(item.unit_price)
    for fee in (None,) if order.fees is None else order.fees:
        if fee is None:
            return
        total += Decimal(fee.amount)
    if order.total_amount is not None and total != Decimal(order.total_amount):
        yield Fault("/total_amount", "wrong-total", f"must be {total:f}, the sum of items and fees")


def _decimals(order: Order | Draft, exponent: int) -> Iterator[Fault]:
    message = f"has more than the {exponent} decimals of {order.currency}"
    for index, item in enumerate(order.items or ()):
        if item is not None and _decimals_of(item.unit_price) > exponent:
            yield Fault(f"/items/{index}/unit_price", "too-many-decimals", message)
    for index, fee in enumerate(order.fees or ()):
        if fee is not None and _decimals_of(fee.amount) > exponent:
            yield Fault(f"/fees/{index}/amount", "too-many-decimals", message)
    if order.total_amount is not None and _decimals_of(order.total_amount) > exponent:
        yield Fault("/total_amount", "too-many-decimals", message)


def _decimals_of(amount: str) -> int:
    return len(amount) - 1 - point if (point := amount.find(".")) >= 0 else 0


def _window(window: Window) -> Iterator[Fault]:
    wrong = False
    for name, moment in (("from", window.start), ("until", window.until)):
        if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
            wrong = True
            yield Fault(f"/requested_window/{name}", "out-of-range", "lies outside of any calendar in use")
    if not wrong and window.start >= window.until:
        yield Fault("/requested_window/until", "empty-window", "must be after 'from'")


def _may_have_duplicates(order: Order, body: bytes) -> bool:
    """
    Whether an object may have a key twice, of which the decoder silently keeps the last.

    Every key costs one colon. The order written anew has no key that the body has not, so equal counts prove
    that there is no second key, unless a colon is escaped or a time was rewritten: those few are read again.
    """
    return (
        body.count(b":") != _encode(order).count(b":")
        or b"\\u003" in body
        or order.requested_window is not None
    )
