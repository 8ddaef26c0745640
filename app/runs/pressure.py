"""
What waits behind the door: for each tenant how much waits in the front lane, and for how long.

Claims go round all tenants that wait, so a tenant's own orders tell whether it has more inside than its share gets
done: one that sends little is served at once, however much another has waiting. And where nobody claims for a
moment, since a process has died, what waits is no sign of too many orders: the next claim takes all of it.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app.runs.cohorts import WAITING_TENANTS
from app.runs.model import EXPRESS, FRONT

LOOK_EVERY_S = 0.1
STANDSTILL_S = 15.0  # for which orders are taken in though nobody claims them
FULL_CLAIM_S = 0.5  # between two claims of full cohorts, on two cores
FEW = 50  # waiting orders
COUNTED_FROM = 0.5  # of the bound: while the oldest is younger, it is no matter how many wait behind it
YOUNG_S = 0.3  # nor then, for who stands beside
MOST_COUNTED = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    What a tenant has waiting in a lane.

    :param age_s: of the oldest due run
    :param runs: that are due, but no more than one more than there is room for; 0 while the oldest is young
    :param passed_by: whether a claim has left the oldest behind already
    """

    age_s: float
    runs: int
    passed_by: bool

    def is_too_much(self, bound_s: float, *, room: int, newcomers: int = 0) -> bool:
        """
        Whether one more would wait for longer than that.

        :param room: how many runs claims take meanwhile; the oldest does not wait for those behind it
        :param newcomers: who have come since this was seen
        """
        return (
            (self.runs + newcomers > room and self.age_s > bound_s * COUNTED_FROM)
            or (self.passed_by and self.age_s > bound_s)
            or self.age_s > max(bound_s, STANDSTILL_S)
        )


def waiting(
    connection: Connection, *, room: int, lane: str = FRONT, counted_from_s: float = 0.0
) -> dict[str, Waiting]:
    """
    By tenant; nothing for those who wait for nothing.

    :param room: how many of a tenant's runs may wait; they are counted up to one more
    :param counted_from_s: the oldest's age from which they are counted: to count takes longest of all this
    """
    found = connection.execute(
        text(
            f"{WAITING_TENANTS} SELECT waiting.tenant_id, "
            "extract(epoch FROM clock_timestamp() - oldest.due_at)::float AS age_s, "
            "CASE WHEN oldest.due_at > now() - make_interval(secs => :counted_from_s) THEN 0 ELSE "
            "(SELECT count(*) FROM (SELECT FROM runs WHERE state = 'w' AND lane = :lane "
            "AND tenant_id = waiting.tenant_id AND due_at <= now() ORDER BY due_at LIMIT :most) r) END AS runs, "
            "oldest.due_at < (SELECT started_at FROM lanes WHERE name = :lane) AS passed_by "
            "FROM waiting CROSS JOIN LATERAL (SELECT due_at FROM runs WHERE state = 'w' AND lane = :lane "
            "AND tenant_id = waiting.tenant_id AND due_at <= now() ORDER BY due_at LIMIT 1) oldest"
        ),
        {"lane": lane, "most": room + 1, "counted_from_s": counted_from_s},
    )
    return {row.tenant_id: Waiting(row.age_s, row.runs, row.passed_by) for row in found}


def oldest_age_s(connection: Connection, lane: str = FRONT) -> float:
    """Seconds for which the longest waiting due run of the lane has waited; 0 if none waits."""
    return max((tenant.age_s for tenant in waiting(connection, room=1, lane=lane).values()), default=0.0)


class Pressure:
    """
    Looks every 100 ms from a thread of its own, while it is asked or anything waits; asking costs nothing.

    In 100 ms hundreds can come: this process counts those that it lets in until the next look.
    """

    def __init__(self, engine: Engine, *, shed_above_s: float, claim: int) -> None:
        """
        :param shed_above_s: a tenant's new orders are turned away where they would wait for longer
        :param claim: how many runs one claim takes; who has more waiting is a crowd
        """
        self._engine, self._shed_above_s, self._claim = engine, shed_above_s, claim
        self._room = min(round(claim * shed_above_s / FULL_CLAIM_S), MOST_COUNTED)
        self._waiting: Mapping[str, Waiting] = {}
        self._let_in: Counter[str] = Counter()  # ever
        self._known_of: Counter[str] = Counter()  # before the last look
        self._crowding: Set[str] = frozenset()  # who has too many waiting
        self._express_no_more: Set[str] = frozenset()
        self._asked = threading.Event()
        threading.Thread(target=self._look, name="pressure", daemon=True).start()

    def retry_after_s(self, tenant_id: str) -> float | None:
        """None while the tenant's orders are welcome, and one is let in; else in how many seconds to come again."""
        self._go_on_looking()
        if found := self._waiting.get(tenant_id):
            newcomers = self._let_in[tenant_id] - self._known_of[tenant_id]
            if found.is_too_much(self._shed_above_s, room=self._room, newcomers=newcomers):
                return max(1.0, round(found.age_s))
        self._let_in[tenant_id] += 1
        return None

    def lane(self, tenant_id: str) -> str:
        """Where a new order of the tenant shall wait: not behind another's thousands."""
        self._go_on_looking()
        beside_a_crowd = bool(self._crowding) and tenant_id not in self._crowding
        return EXPRESS if beside_a_crowd and tenant_id not in self._express_no_more else FRONT

    def _go_on_looking(self) -> None:
        if not self._asked.is_set():
            self._asked.set()

    def _look(self) -> None:
        pause, young_s = threading.Event(), min(self._shed_above_s * COUNTED_FROM, YOUNG_S)
        while not pause.wait(LOOK_EVERY_S):
            if not self._waiting:
                self._asked.wait()
            self._asked.clear()
            known_of = Counter(self._let_in)
            try:
                with self._engine.begin() as connection:
                    most = max(self._room, self._claim)
                    found = waiting(connection, room=most, counted_from_s=young_s)
                    crowding = {tenant for tenant, w in found.items() if w.runs > self._claim}
                    express = waiting(connection, room=FEW, lane=EXPRESS) if crowding else {}
                self._express_no_more = {tenant for tenant, w in express.items() if w.runs > FEW}
                self._waiting, self._crowding, self._known_of = found, crowding, known_of
            except SQLAlchemyError as error:
                log.warning("pressure-unknown", error=type(error).__name__)
                pause.wait(1.0)
