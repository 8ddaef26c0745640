"""
What waits behind the door: for each tenant how much waits in the front lane, and for how long.

Claims go round all tenants that wait, so a tenant's own orders tell whether it has more inside than its share gets
done: one that sends little is served at once, however much another has waiting. And where nobody claims for a
moment, since a process has died, what waits is no sign of too many orders: the next claim takes all of it.
"""

import threading
from collections.abc import Mapping, Set
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app.runs.cohorts import WAITING_TENANTS
from app.runs.model import EXPRESS, FRONT

LOOK_EVERY_S = 0.2
STANDSTILL_S = 15.0  # for which orders are taken in though nobody claims them
FEW = 50  # waiting orders

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    What a tenant has waiting in a lane.

    :param age_s: of the oldest due run
    :param overflows: whether it is more than the next claim can take
    :param passed_by: whether a claim has left the oldest behind already
    """

    age_s: float
    overflows: bool
    passed_by: bool

    def is_too_much(self, bound_s: float) -> bool:
        """
        Whether a newcomer would wait for longer than that.

        Where more waits than one claim takes, the newest has about twice the age of the oldest before it.
        """
        return (
            (self.overflows and self.age_s > bound_s / 2)
            or (self.passed_by and self.age_s > bound_s)
            or self.age_s > max(bound_s, STANDSTILL_S)
        )


def waiting(connection: Connection, *, claim: int, lane: str = FRONT) -> dict[str, Waiting]:
    """
    By tenant; nothing for those who wait for nothing.

    :param claim: how many runs one claim takes at most
    """
    found = connection.execute(
        text(
            f"{WAITING_TENANTS} SELECT waiting.tenant_id, "
            "extract(epoch FROM clock_timestamp() - oldest.due_at)::float AS age_s, "
            "EXISTS (SELECT FROM runs WHERE state = 'w' AND lane = :lane AND tenant_id = waiting.tenant_id "
            "AND due_at <= now() ORDER BY due_at OFFSET :claim LIMIT 1) AS overflows, "
            "oldest.due_at < (SELECT started_at FROM lanes WHERE name = :lane) AS passed_by "
            "FROM waiting CROSS JOIN LATERAL (SELECT due_at FROM runs WHERE state = 'w' AND lane = :lane "
            "AND tenant_id = waiting.tenant_id AND due_at <= now() ORDER BY due_at LIMIT 1) oldest"
        ),
        {"lane": lane, "claim": claim},
    )
    return {row.tenant_id: Waiting(row.age_s, row.overflows, row.passed_by) for row in found}


def oldest_age_s(connection: Connection, lane: str = FRONT) -> float:
    """Seconds for which the longest waiting due run of the lane has waited; 0 if none waits."""
    return max((tenant.age_s for tenant in waiting(connection, claim=1, lane=lane).values()), default=0.0)


class Pressure:
    """Looks every 200 ms from a thread of its own, while it is asked or anything waits; asking costs nothing."""

    def __init__(self, engine: Engine, *, shed_above_s: float, claim: int) -> None:
        """
        :param shed_above_s: a tenant's new orders are turned away where they would wait for longer
        :param claim: how many runs one claim takes at most
        """
        self._engine, self._shed_above_s, self._claim = engine, shed_above_s, claim
        self._waiting: Mapping[str, Waiting] = {}
        self._crowding: Set[str] = frozenset()  # who has more waiting than a claim can take
        self._express_no_more: Set[str] = frozenset()
        self._asked = threading.Event()
        threading.Thread(target=self._look, name="pressure", daemon=True).start()

    def retry_after_s(self, tenant_id: str) -> float | None:
        """None while the tenant's orders are welcome, else in how many seconds to come again."""
        self._go_on_looking()
        found = self._waiting.get(tenant_id)
        return max(1.0, round(found.age_s)) if found and found.is_too_much(self._shed_above_s) else None

    def lane(self, tenant_id: str) -> str:
        """Where a new order of the tenant shall wait: not behind another's thousands."""
        self._go_on_looking()
        beside_a_crowd = bool(self._crowding) and tenant_id not in self._crowding
        return EXPRESS if beside_a_crowd and tenant_id not in self._express_no_more else FRONT

    def _go_on_looking(self) -> None:
        if not self._asked.is_set():
            self._asked.set()

    def _look(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_EVERY_S):
            if not self._waiting:
                self._asked.wait()
            self._asked.clear()
            try:
                with self._engine.begin() as connection:
                    found = waiting(connection, claim=self._claim)
                    crowding = {tenant for tenant, w in found.items() if w.overflows}
                    express = waiting(connection, claim=FEW, lane=EXPRESS) if crowding else {}
                self._express_no_more = {tenant for tenant, w in express.items() if w.overflows}
                self._waiting, self._crowding = found, crowding
            except SQLAlchemyError as error:
                log.warning("pressure-unknown", error=type(error).__name__)
                pause.wait(1.0)
