"""What happened to one order, from Postgres: the truth also while the API is away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from app.orders.model import Status
from app.runs import follow_ups
from app.runs import queries as runs
from app.runs.queries import Standing, StepRecord
from sagas.all import SAGAS


@dataclass(frozen=True, slots=True)
class Story:
    """
    One order and the steps of its runs, oldest first.

    :param standing: where its present run stands; None if the order has no run, as migrated ones
    :param steps: names of the steps, those of one run's saga after those of the run before; records count in them
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
    later = [run.run_id for run in follow_ups.of_order(connection, row.id)]
    found = [runs.standing(connection, run_id) for run_id in (row.run_id, *later) if run_id]
    standings = [standing for standing in found if standing]
    names: list[str] = []
    records: list[StepRecord] = []
    for standing in standings:
        records += [
            replace(record, step=len(names) + record.step)
            for record in runs.story(connection, standing.run_id)
        ]
        names += [step.name for step in SAGAS.get(standing.saga, standing.version).steps]
    return Story(
        row.id,
        Status(row.status),
        row.partner,
        row.failure,
        row.created_at,
        row.updated_at,
        standings[-1] if standings else None,
        names,
        records,
    )
