"""
What an order has standing elsewhere, by our books: who has its delivery, and the run whose keys all else bears.

A step that dispatches tells `partner` in its outcome's detail; one that takes a dispatch back tells `recalled`. Who
was asked and did not answer is told as `perhaps`: until he refuses or is recalled, he counts as having it. That all
have is told by the code of `NOBODY_LEFT`; an attempt that failed before anybody was asked says nothing of him.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

NOBODY_LEFT = "no-available-partner"
STEP = "dispatch-to-partner"  # in the key of every dispatch, whichever saga's step has made it


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """
    The dispatch of an order that stands.

    :param run_id: the run that made it
    :param generation: of that run's keys
    :param eta: what the customer was promised, None before that
    """

    order_id: str
    partner: str
    run_id: int
    generation: int
    eta: datetime | None

    @property
    def key(self) -> str:
        """The key under which the partner has it."""
        return f"{self.order_id}:{STEP}:{self.partner}:{self.generation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fulfilment:
    """
    The run that fulfilled an order: placement, payment and hold are its own.

    :param generation: of its keys
    """

    order_id: str
    run_id: int
    generation: int


def standing(connection: Connection, order_ids: Sequence[str]) -> dict[str, Dispatched]:
    """The dispatch of each order that stands, or may, by order id; those without one are missing."""
    result = connection.execute(
        text("""
            SELECT o.id AS order_id, latest.partner, latest.run_id, latest.generation, o.eta
            FROM uoop_orders o CROSS JOIN LATERAL (
                SELECT x.run_id, r.generation, coalesce(x.detail ->> 'partner', x.detail ->> 'perhaps') AS partner
                FROM (SELECT o.run_id UNION ALL SELECT f.run_id FROM follow_ups f WHERE f.order_id = o.id) mine(id)
                JOIN runs r ON r.id = mine.id JOIN outcomes x ON x.run_id = r.id
                WHERE r.undone >> x.step & 1 = 0 AND (
                    x.verdict = 'd' AND (x.detail ->> 'partner' IS NOT NULL OR x.detail ->> 'recalled' IS NOT NULL)
                    OR x.verdict = 'i' AND x.detail ->> 'perhaps' IS NOT NULL AND NOT EXISTS (
                        SELECT FROM outcomes y WHERE (y.run_id, y.step) = (x.run_id, x.step)
                        AND y.cohort_id > x.cohort_id AND y.verdict IN ('r', 'n') AND y.code = :nobody_left))
                ORDER BY x.run_id DESC, x.cohort_id DESC, x.step DESC LIMIT 1
            ) latest
            WHERE o.id = ANY(:ids) AND latest.partner IS NOT NULL
        """),
        {"ids": list(order_ids), "nobody_left": NOBODY_LEFT},
    )
    return {row.order_id: Dispatched(**row._mapping) for row in result}


def fulfilments(connection: Connection, order_ids: Sequence[str]) -> dict[str, Fulfilment]:
    """The run that fulfilled each order, by order id; those that have lost it by retention are missing."""
    result = connection.execute(
        text(
            "SELECT o.id AS order_id, o.run_id, r.generation FROM uoop_orders o JOIN runs r ON r.id = o.run_id "
            "WHERE o.id = ANY(:ids)"
        ),
        {"ids": list(order_ids)},
    )
    return {row.order_id: Fulfilment(**row._mapping) for row in result}
