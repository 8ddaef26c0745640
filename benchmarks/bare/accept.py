"""Acceptance without idempotency: order, run and event of many submissions in one transaction, and no key."""

from collections.abc import Sequence

import uuid_utils
from sqlalchemy import Connection, text

from app import database
from app.database import Prepared
from app.orders import accept
from app.orders.accept import StartWith
from app.orders.model import Accepted, NewOrder

_INSERT = Prepared(
    f"insert_orders{accept._TYPES}",
    f"""
    WITH new AS MATERIALIZED (SELECT {accept._NEW} FROM json_to_recordset($1) AS a({accept._ROW})),
    {accept._WRITE} SELECT now()
    """,
)
_CALL = text("EXECUTE insert_orders(:rows, :lead, :saga, :version, :later_saga, :later_version)")


def without_keys(connection: Connection, batch: Sequence[NewOrder], start: StartWith) -> list[Accepted]:
    """As `app.orders.accept.accept`; every submission is a new order."""
    database.prepare(connection, _INSERT)
    named = [(str(uuid_utils.uuid7()), new) for new in batch]
    asked = [accept._row(0, order_id, new, start.lane(new.tenant_id)) for order_id, new in named]
    at = connection.execute(_CALL, accept._parameters(asked, start)).scalar_one()
    return [Accepted(order_id, at, replayed=False) for order_id, _ in named]


def leave_out_keys() -> None:
    """From now on this process accepts so."""
    accept.accept = without_keys  # type: ignore[assignment]
