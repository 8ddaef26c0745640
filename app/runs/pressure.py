"""What waits behind the door: the age of the oldest due run in the front lane."""

import threading

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app.runs.cohorts import WAITING_TENANTS
from app.runs.model import FRONT

LOOK_EVERY_S = 0.2

log = structlog.get_logger()


def oldest_age_s(connection: Connection, lane: str = FRONT) -> float:
    """Seconds for which the longest waiting due run of the lane has waited; 0 if none waits."""
    age = connection.execute(
        text(
            f"{WAITING_TENANTS} SELECT extract(epoch FROM clock_timestamp() - min(oldest.due_at))::float "
            "FROM waiting CROSS JOIN LATERAL (SELECT due_at FROM runs WHERE state = 'w' AND lane = :lane "
            "AND tenant_id = waiting.tenant_id AND due_at <= now() ORDER BY due_at LIMIT 1) oldest"
        ),
        {"lane": lane},
    ).scalar_one_or_none()
    return float(age or 0.0)


class Pressure:
    """Looks every 200 ms from a thread of its own; asking costs nothing."""

    def __init__(self, engine: Engine, *, shed_above_s: float) -> None:
        """:param shed_above_s: age of the oldest waiting run above which new orders are turned away"""
        self._engine, self._shed_above_s = engine, shed_above_s
        self._age_s = 0.0
        threading.Thread(target=self._look, name="pressure", daemon=True).start()

    def retry_after_s(self) -> float | None:
        """None while orders are welcome, else in how many seconds to come again."""
        return None if self._age_s <= self._shed_above_s else max(1.0, round(self._age_s))

    def _look(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_EVERY_S):
            try:
                with self._engine.begin() as connection:
                    self._age_s = oldest_age_s(connection)
            except SQLAlchemyError as error:
                log.warning("pressure-unknown", error=type(error).__name__)
                pause.wait(1.0)
