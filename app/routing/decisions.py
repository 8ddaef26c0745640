"""Why orders were routed as they were: kept once per cohort."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from app.database import rows
from app.routing import choice
from app.routing.choice import RoutingView


def keep(connection: Connection, cohort_id: int, groups: Sequence[Mapping[str, Any]]) -> None:
    """Keep a cohort's decisions, of each group of tenants with the same weights, beside those of its other parts."""
    if groups:
        connection.execute(
            text(
                "INSERT INTO routing_decisions (cohort_id, told) VALUES (:cohort, CAST(:told AS json)) "
                "ON CONFLICT (cohort_id) DO UPDATE SET told = "
                "CAST(CAST(routing_decisions.told AS jsonb) || CAST(excluded.told AS jsonb) AS json)"
            ),
            {"cohort": cohort_id, "told": rows(groups)},
        )


def latest(connection: Connection, run_id: int) -> RoutingView | None:
    """The latest decision on the run; None if none was made, or it is too old to be kept."""
    found = connection.execute(
        text(
            "SELECT d.cohort_id, d.told FROM runs r JOIN routing_decisions d ON d.cohort_id = ANY(r.trail) "
            "WHERE r.id = :id ORDER BY d.cohort_id DESC"
        ),
        {"id": run_id},
    )
    views = (choice.explained(row.cohort_id, row.told, run_id) for row in found)
    return next((view for view in views if view), None)
