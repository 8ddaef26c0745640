"""What happened to one order, from Postgres: the truth also while the API is away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from app.orders.model import Status
from app.runs import queries as runs
from app.runs.queries import Standing, StepRecord
from sagas.all import SAGAS


@dataclass(frozen=True, slots=True)
class Story:
    """
    One order and the steps of its run, oldest first.

    :param standing: None if the order has no run, as migrated ones
    :param steps: names of the saga's steps, by number
    """

    order_id: str
    status: Status
    partner: str | None
    failure: Mapping[str, Any] | None
    created_at: datetime
    updated_at: datetime
    standing: Standing | None
    steps: Sequence[str]
    records: Sequence[StepRecord]


def of(connection: Connection, order_id: str) -> Story | None:
    """The order's story, whichever tenant's it is; None if there is no such order."""
    row = connection.execute(
        text(
            "SELECT id, status, partner, failure, created_at, updated_at, run_id FROM uoop_orders WHERE id = :id"
        ),
        {"id": order_id},
    ).one_or_none()
    if row is None:
        return None
    standing = runs.standing(connection, row.run_id) if row.run_id else None
    steps = SAGAS.get(standing.saga, standing.version).steps if standing else ()
    records = runs.story(connection, row.run_id) if standing else []
    names = [step.name for step in steps]
    return Story(
        row.id,
        Status(row.status),
        row.partner,
        row.failure,
        row.created_at,
        row.updated_at,
        standing,
        names,
        records,
    )
