"""Acceptance without idempotency: order, run and event of many submissions in one transaction, and no key."""

import re
from collections.abc import Sequence

import uuid_utils
from sqlalchemy import Connection, text

from app.orders import accept
from app.orders.accept import StartWith
from app.orders.model import Accepted, NewOrder

_KEYS = re.compile(r"\), keys AS \(.*?(?=\), events AS)", re.DOTALL)  # external ids as well


def without_keys(connection: Connection, batch: Sequence[NewOrder], start: StartWith) -> list[Accepted]:
    """As `app.orders.accept.accept`; every submission is a new order."""
    named = [(str(uuid_utils.uuid7()), new) for new in batch]
    at = accept._insert(connection, named, start)
    return [Accepted(order_id, at, replayed=False) for order_id, _ in named]


def leave_out_keys() -> None:
    """
    From now on this process accepts so.

    :raises ValueError: if the product's statement no longer looks as it did
    """
    statement, found = _KEYS.subn("", accept._INSERT.text)
    if not found:
        raise ValueError("where are the keys?")
    accept._INSERT = text(statement)
    accept.accept = without_keys  # type: ignore[assignment]
