"""
What waits behind the door: for each tenant the age of its oldest due run in the front lane.

Claims go round all tenants that wait, so a tenant's own age tells whether it has more inside than its share gets
done: one that sends little is served at once, however much another has waiting.
"""

import threading
from collections.abc import Mapping

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app.runs.cohorts import WAITING_TENANTS
from app.runs.model import FRONT

LOOK_EVERY_S = 0.2

log = structlog.get_logger()


def oldest_ages_s(connection: Connection, lane: str = FRONT) -> dict[str, float]:
    """Seconds for which each tenant's longest waiting due run of the lane has waited."""
    found = connection.execute(
        text(
            f"{WAITING_TENANTS} SELECT waiting.tenant_id, extract(epoch FROM clock_timestamp() - due_at)::float "
            "FROM waiting CROSS JOIN LATERAL (SELECT due_at FROM runs WHERE state = 'w' AND lane = :lane "
            "AND tenant_id = waiting.tenant_id AND due_at <= now() ORDER BY due_at LIMIT 1) oldest"
        ),
        {"lane": lane},
    )
    return {row[0]: row[1] for row in found}


def oldest_age_s(connection: Connection, lane: str = FRONT) -> float:
    """The same over all tenants; 0 if none waits."""
    return max(oldest_ages_s(connection, lane).values(), default=0.0)


class Pressure:
    """Looks every 200 ms from a thread of its own; asking costs nothing."""

    def __init__(self, engine: Engine, *, shed_above_s: float) -> None:
        """:param shed_above_s: age of a tenant's oldest waiting run above which its new orders are turned away"""
        self._engine, self._shed_above_s = engine, shed_above_s
        self._ages_s: Mapping[str, float] = {}
        threading.Thread(target=self._look, name="pressure", daemon=True).start()

    def retry_after_s(self, tenant_id: str) -> float | None:
        """None while the tenant's orders are welcome, else in how many seconds to come again."""
        age_s = self._ages_s.get(tenant_id, 0.0)
        return None if age_s <= self._shed_above_s else max(1.0, round(age_s))

    def _look(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_EVERY_S):
            try:
                with self._engine.begin() as connection:
                    self._ages_s = oldest_ages_s(connection)
            except SQLAlchemyError as error:
                log.warning("pressure-unknown", error=type(error).__name__)
                pause.wait(1.0)
