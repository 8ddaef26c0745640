"""
A place in a list as an opaque, signed word: only what was handed out for this list and tenant is taken back.

What is inside may change, so clients only hand it back.
"""

import base64
import binascii
import hmac
from typing import TypeVar

import msgspec
from flask import g, request

from app import errors
from app.orders.faults import Fault
from web.services import Principal, Services

SIGNATURE_BYTES = 12

_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class InvalidQuery(errors.Rejected):
    """A query parameter is not valid."""

    code = "invalid-query"

    def __init__(self, found: list[Fault]) -> None:
        super().__init__(faults=found)


def sign_for(services: Services, caller: Principal) -> None:
    """Let cursors of the current request be of this caller's tenant and of the list at its path."""
    g.cursors = (services.cursor_secret, f"{request.path} {caller.tenant_id} ".encode())


def encode(position: object) -> str:
    """Write a position in the list that is being answered as URL-safe characters."""
    written = _encode(position)
    return base64.urlsafe_b64encode(_signature(written) + written).decode().rstrip("=")


def decode(cursor: str, form: type[T]) -> T:
    """
    Read what `encode` wrote for the same list and tenant.

    :param form: of positions in this list
    :raises InvalidQuery: for anything else
    """
    try:
        signed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        raise unknown() from None
    signature, written = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(written)):
        raise unknown()
    try:
        return msgspec.json.decode(written, type=form)
    except msgspec.DecodeError:  # written by an older version
        raise unknown() from None


def unknown() -> InvalidQuery:
    """What is said of a cursor that is not one of ours."""
    return InvalidQuery([Fault("/cursor", "unknown-cursor", "is not a cursor of this list")])


def _signature(written: bytes) -> bytes:
    secret, scope = g.cursors
    return hmac.digest(secret(), scope + written, "sha256")[:SIGNATURE_BYTES]
