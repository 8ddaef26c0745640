"""A place in a list as an opaque word: what is inside may change, so clients only hand it back."""

import base64
import binascii
from dataclasses import replace
from datetime import UTC

import msgspec

from app import errors
from app.orders.faults import Fault
from app.orders.views import Position

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Position).decode


class InvalidQuery(errors.Rejected):
    """A query parameter is not valid."""

    code = "invalid-query"

    def __init__(self, found: list[Fault]) -> None:
        super().__init__(faults=found)


def encode(position: Position) -> str:
    """Write a position as URL-safe characters."""
    return base64.urlsafe_b64encode(_encode(position)).decode().rstrip("=")


def decode(cursor: str) -> Position:
    """
    Read what `encode` wrote.

    :raises InvalidQuery: for anything else
    """
    unknown = InvalidQuery([Fault("/cursor", "unknown-cursor", "is not a cursor of this list")])
    try:
        position = _decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        position = replace(position, created_at=position.created_at.astimezone(UTC))
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError, OverflowError):
        raise unknown from None
    if not position.order_id.isprintable():
        raise unknown
    return position
