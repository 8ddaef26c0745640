"""A place in a list as an opaque word: what is inside may change, so clients only hand it back."""

import base64
import binascii
from typing import TypeVar

import msgspec

from app import errors
from app.orders.faults import Fault

_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class InvalidQuery(errors.Rejected):
    """A query parameter is not valid."""

    code = "invalid-query"

    def __init__(self, found: list[Fault]) -> None:
        super().__init__(faults=found)


def encode(position: object) -> str:
    """Write a position in some list as URL-safe characters."""
    return base64.urlsafe_b64encode(_encode(position)).decode().rstrip("=")


def decode(cursor: str, form: type[T]) -> T:
    """
    Read what `encode` wrote.

    :param form: of positions in this list

    :raises InvalidQuery: for anything else
    """
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=form)
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError):
        raise InvalidQuery([Fault("/cursor", "unknown-cursor", "is not a cursor of this list")]) from None
