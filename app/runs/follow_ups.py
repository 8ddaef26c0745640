"""
Further runs on an order: never two of them act on the same of an order.

One begins when the run before it has ended, or waits for that with its first step; or while that is parked and what is
left of it is of no matter here. Their effects have keys of their own: a run's generation is its place among the runs of
its order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from app import errors, time_ids
from app.database import ids, rows
from app.orders.model import Status
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
    :param waits: it may begin behind a run that is still under way, since its first step waits for that one's end
    :param beside: sagas of which a parked run does not keep it from beginning
    """

    order_id: str
    asked: Mapping[str, Any]
    within: timedelta
    waits: bool = False
    beside: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Begun:
    order_id: str
    run_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """An order and its present run, as they stand under the order's lock."""

    order_id: str
    tenant_id: str
    status: Status
    run_id: int
    saga: str
    state: RunState
    gated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """
    What a follow-up finds.

    :param under_way: whether an earlier run on its order has not ended
    :param status: the order's
    """

    under_way: bool
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """
    One of an order's follow-ups.

    :param act: what was asked for, as its `asked` says; None if it does not
    """

    run_id: int
    act: str | None
    state: RunState
    failure: Mapping[str, Any] | None

    @property
    def asked_at(self) -> datetime:
        return time_ids.made_at(self.run_id)


class RunUnderWay(errors.Conflict):
    """The order's present run has not ended: what it still does comes first."""

    code = "run-under-way"


def lock(connection: Connection, order_ids: Sequence[str]) -> dict[str, Present]:
    """The orders that have a run, by id; they stay locked until the commit."""
    connection.execute(
        text("SELECT FROM uoop_orders WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"),
        {"ids": sorted(order_ids)},
    )
    # in a statement of its own, so that the latest run is seen
    found = connection.execute(
        text(
            "SELECT o.id AS order_id, o.tenant_id, o.status, r.id AS run_id, r.saga, r.state, r.gated "
            f"FROM uoop_orders o JOIN runs r ON r.id = {PRESENT_RUN} WHERE o.id = ANY(:ids)"
        ),
        {"ids": list(order_ids)},
    )
    return {
        row.order_id: Present(
            order_id=row.order_id,
            tenant_id=row.tenant_id,
            status=Status(row.status),
            run_id=row.run_id,
            saga=row.saga,
            state=RunState(row.state),
            gated=row.gated,
        )
        for row in found
    }


def begin(
    connection: Connection, saga: str, version: int, wanted: Sequence[FollowUp]
) -> list[Begun | RunUnderWay]:
    """
    Begin a run of `saga` on each order; one answer per wish, in order. The orders stay locked until the commit.

    Wishes for unknown orders, or for one order twice, are the caller's mistake: the second is under way.
    """
    found = lock(connection, [wish.order_id for wish in wanted]) if wanted else {}
    chosen: dict[str, FollowUp] = {}
    for wish in wanted:
        present = found.get(wish.order_id)
        if present and (wish.waits or _lets_begin(present, wish)):
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


def of_orders(connection: Connection, order_ids: Sequence[str]) -> dict[str, list[Past]]:
    """All of the orders' follow-ups, oldest first."""
    result = connection.execute(
        text(
            "SELECT f.order_id, r.id AS run_id, f.asked ->> 'act' AS act, r.state, r.failure "
            "FROM follow_ups f JOIN runs r ON r.id = f.run_id WHERE f.order_id = ANY(:orders) ORDER BY f.nth"
        ),
        {"orders": list(order_ids)},
    )
    found: dict[str, list[Past]] = {order_id: [] for order_id in order_ids}
    for order_id, run_id, act, state, failure in result:
        found[order_id].append(Past(run_id=run_id, act=act, state=RunState(state), failure=failure))
    return found


def runs_of(connection: Connection, order_id: str) -> list[int]:
    """Ids of all the order's runs that are still kept, oldest first."""
    result = connection.execute(
        text(
            "SELECT r.id FROM runs r WHERE r.id = ANY(ARRAY(SELECT f.run_id FROM follow_ups f "
            "WHERE f.order_id = :order UNION ALL SELECT o.run_id FROM uoop_orders o WHERE o.id = :order)) ORDER BY r.id"
        ),
        {"order": order_id},
    )
    return list(result.scalars())


def with_key(connection: Connection, order_id: str, key: str) -> tuple[int, Mapping[str, Any]] | None:
    """The order's run that was asked for under this key, and how."""
    row = connection.execute(
        text("SELECT run_id, asked FROM follow_ups WHERE order_id = :order AND asked ->> 'key' = :key"),
        {"order": order_id, "key": key},
    ).one_or_none()
    return (row.run_id, row.asked) if row else None


def before(connection: Connection, run_ids: Sequence[int]) -> dict[int, Before]:
    """What each follow-up finds, by its run id: read in one statement, so that the two belong together."""
    result = connection.execute(
        text("""
            SELECT f.run_id, o.status, EXISTS (SELECT FROM runs r WHERE r.state <> :ended
                AND r.id = ANY(ARRAY(SELECT e.run_id FROM follow_ups e
                    WHERE e.order_id = f.order_id AND e.nth < f.nth) || o.run_id)) AS under_way
            FROM follow_ups f JOIN uoop_orders o ON o.id = f.order_id
            WHERE f.run_id = ANY(CAST(:ids AS bigint[]))
        """),
        {"ids": ids(run_ids), "ended": RunState.ENDED},
    )
    return {row.run_id: Before(under_way=row.under_way, status=Status(row.status)) for row in result}


def _lets_begin(present: Present, wish: FollowUp) -> bool:
    aside = present.state is RunState.PARKED and present.saga in wish.beside
    return aside or present.state is RunState.ENDED


def _insert(connection: Connection, saga: str, version: int, wishes: Sequence[FollowUp]) -> dict[str, int]:
    cohorts.open_lane(connection, FOLLOW_UP, slots=SLOTS)
    result = connection.execute(
        text("""
            WITH new AS MATERIALIZED (
                UPDATE uoop_orders o SET follow_ups = coalesce(o.follow_ups, 0) + 1
                FROM json_to_recordset(CAST(:rows AS json)) AS w(order_id text, asked jsonb, within_s double precision)
                WHERE o.id = w.order_id
                RETURNING time_id() AS run_id, o.id AS order_id, o.tenant_id, w.asked, w.within_s, o.follow_ups AS nth
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
