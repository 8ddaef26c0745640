"""
Further runs on an order: begun when the one before has ended, so that never two of them act on one order.

Their effects have keys of their own: a run's generation is its place among the runs of its order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, text

from app import errors
from app.database import ids, rows
from app.runs import cohorts
from app.runs.model import FOLLOW_UP, RunState

SLOTS = 1

# The run with which an order stands or falls at present: the latest follow-up, or the one it began with.
PRESENT_RUN = (
    "coalesce((SELECT f.run_id FROM follow_ups f WHERE f.order_id = o.id ORDER BY f.nth DESC LIMIT 1), "
    "o.run_id)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """
    :param asked: what the saga is to do, and who wants it why; its steps read it
    :param within: how long it may take before it is given up
    """

    order_id: str
    asked: Mapping[str, Any]
    within: timedelta


@dataclass(frozen=True, slots=True)
class Begun:
    order_id: str
    run_id: int


class RunUnderWay(errors.Conflict):
    """The order's present run has not ended: what it still does comes first."""

    code = "run-under-way"


def begin(
    connection: Connection, saga: str, version: int, wanted: Sequence[FollowUp]
) -> list[Begun | RunUnderWay]:
    """
    Begin a run of `saga` on each order; one answer per wish, in order. The orders stay locked until the commit.

    Wishes for unknown orders, or for one order twice, are the caller's mistake: the second is under way.
    """
    free = _lock(connection, sorted({wish.order_id for wish in wanted}))
    chosen: dict[str, FollowUp] = {}
    for wish in wanted:
        if wish.order_id in free:
            chosen.setdefault(wish.order_id, wish)
    begun = _insert(connection, saga, version, list(chosen.values())) if chosen else {}
    return [
        Begun(wish.order_id, begun[wish.order_id]) if chosen.get(wish.order_id) is wish else RunUnderWay()
        for wish in wanted
    ]


def asked(connection: Connection, run_ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """What the runs are to do, by run id."""
    result = connection.execute(
        text("SELECT run_id, asked FROM follow_ups WHERE run_id = ANY(CAST(:ids AS bigint[]))"),
        {"ids": ids(run_ids)},
    )
    return {row.run_id: row.asked for row in result}


def _lock(connection: Connection, order_ids: Sequence[str]) -> set[str]:
    """Those whose present run has ended; read after their lock, so that the latest run is seen."""
    connection.execute(
        text("SELECT FROM uoop_orders WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"), {"ids": order_ids}
    )
    found = connection.execute(
        text(
            f"SELECT o.id FROM uoop_orders o JOIN runs r ON r.id = {PRESENT_RUN} "
            "WHERE o.id = ANY(:ids) AND r.state = :ended"
        ),
        {"ids": order_ids, "ended": RunState.ENDED},
    )
    return set(found.scalars())


def _insert(connection: Connection, saga: str, version: int, wishes: Sequence[FollowUp]) -> dict[str, int]:
    cohorts.open_lane(connection, FOLLOW_UP, slots=SLOTS)
    result = connection.execute(
        text("""
            WITH new AS MATERIALIZED (
                SELECT time_id() AS run_id, o.id AS order_id, o.tenant_id, w.asked, w.within_s,
                    1 + (SELECT count(*) FROM follow_ups f WHERE f.order_id = o.id) AS nth
                FROM json_to_recordset(CAST(:rows AS json)) AS w(order_id text, asked jsonb, within_s double precision)
                JOIN uoop_orders o ON o.id = w.order_id
            ), runs AS (
                INSERT INTO runs (id, order_id, tenant_id, saga, version, generation, lane, due_at, not_after)
                SELECT run_id, order_id, tenant_id, :saga, :version, nth, :lane, now(),
                    now() + make_interval(secs => within_s) FROM new
            )
            INSERT INTO follow_ups (run_id, order_id, nth, asked)
            SELECT run_id, order_id, nth, asked FROM new RETURNING order_id, run_id
        """),
        {
            "rows": rows(
                [
                    {"order_id": w.order_id, "asked": w.asked, "within_s": w.within.total_seconds()}
                    for w in wishes
                ]
            ),
            "saga": saga,
            "version": version,
            "lane": FOLLOW_UP,
        },
    )
    return {row.order_id: row.run_id for row in result}
