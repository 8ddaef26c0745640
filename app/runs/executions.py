"""
Step executions: begun and finished by compare-and-set on (cohort, epoch, step).

The row is the intent, committed before the call. A lease covers the execution, not the waiting.
"""

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from app.database import ids, rows
from app.runs.model import DONE, Cohort, Direction, LostCohort, Member, Outcomes, StepPassed

LEASE_S = 3.0
HEARTBEAT_S = 1.0

_BEGIN = text("""
    WITH cohort AS (
        SELECT * FROM cohorts WHERE id = :cohort AND epoch = :epoch AND ended_at IS NULL
    ), begun AS (
        INSERT INTO executions (cohort_id, step, epoch, executor, lease_until)
        SELECT id, :step, epoch, :executor, clock_timestamp() + make_interval(secs => :lease)
        FROM cohort WHERE itinerary[leg + 1] = :stage
        ON CONFLICT (cohort_id, step) DO UPDATE
            SET epoch = excluded.epoch, executor = excluded.executor, lease_until = excluded.lease_until,
                started_at = clock_timestamp(), starts = executions.starts + 1
            WHERE executions.finished_at IS NULL
                AND (executions.epoch < excluded.epoch OR executions.executor = excluded.executor)
        RETURNING starts
    )
    SELECT cohort.id, cohort.epoch, cohort.saga, cohort.version, cohort.direction, cohort.lane, cohort.itinerary,
        cohort.leg, cohort.members, clock_timestamp() AS seen_at, begun.starts,
        EXISTS (SELECT FROM executions e WHERE e.cohort_id = cohort.id AND e.step = :step
            AND e.finished_at IS NOT NULL) AS finished,
        ARRAY(SELECT kind || ':' || name FROM pauses WHERE until IS NULL OR until > clock_timestamp()) AS paused
    FROM cohort LEFT JOIN begun ON true
""")


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    """An outcome that says more than that the step is done."""

    run_id: int
    verdict: str
    code: str | None = None
    provider: str | None = None
    detail: Mapping[str, Any] | None = None


def new_executor() -> str:
    """A name nobody else has, which tells whose child this process is: :func:`bury` finds it."""
    return f"{_children_of(os.getppid())}{uuid.uuid4().hex}"


def bury(connection: Connection, pid: int) -> None:
    """End the leases of what a process of this host, which is dead, had its children execute."""
    connection.execute(
        text(
            "UPDATE executions e SET lease_until = '-infinity' FROM slots s WHERE s.cohort_id = e.cohort_id "
            "AND e.finished_at IS NULL AND starts_with(e.executor, :children)"
        ),
        {"children": _children_of(pid)},
    )


def begin(
    connection: Connection,
    *,
    cohort_id: int,
    epoch: int,
    stage: int,
    step: int,
    executor: str,
    lease_s: float = LEASE_S,
) -> tuple[Cohort, int]:
    """
    Write the intent of one step of a cohort.

    :param stage: position of the step's stage in the saga's direction
    :return: the cohort, and how often the step has been started in it
    :raises StepPassed: if it has been finished already
    :raises LostCohort: if another epoch leads the cohort, it has ended, is not there yet, or the step is running
    """
    row = connection.execute(
        _BEGIN,
        {
            "cohort": cohort_id,
            "epoch": epoch,
            "stage": stage,
            "step": step,
            "executor": executor,
            "lease": lease_s,
        },
    ).one_or_none()
    if row is None:
        raise LostCohort(cohort_id=cohort_id, epoch=epoch)
    if row.starts is None:
        if row.finished or stage in row.itinerary[: row.leg]:
            raise StepPassed(cohort_id=cohort_id, step=step)
        raise LostCohort(cohort_id=cohort_id, epoch=epoch)
    return replace(_cohort(row), paused=frozenset(row.paused)), row.starts


def lock(connection: Connection, *, cohort_id: int, epoch: int, exclusively: bool) -> Cohort:
    """
    The cohort, kept from any other epoch until the transaction ends.

    :raises LostCohort: if another epoch leads it or it has ended
    """
    strength = "UPDATE" if exclusively else "SHARE"
    row = connection.execute(
        text(
            "SELECT *, clock_timestamp() AS seen_at FROM cohorts "
            f"WHERE id = :id AND epoch = :epoch AND ended_at IS NULL FOR {strength}"
        ),
        {"id": cohort_id, "epoch": epoch},
    ).one_or_none()
    if row is None:
        raise LostCohort(cohort_id=cohort_id, epoch=epoch)
    return _cohort(row)


def members(
    connection: Connection, cohort: Cohort, *, reads: Sequence[str] = (), uses: Sequence[tuple[str, int]] = ()
) -> list[Member]:
    """
    The cohort's live runs, in id order.

    :param reads: columns of `uoop_orders` that go into `given`
    :param uses: (name, step number) of earlier steps whose latest detail goes into `given` under that name
    """
    columns = "".join(f", o.{column}" for column in reads)
    details = "".join(f', d{number}.detail AS "{name}"' for name, number in uses)
    laterals = "".join(_latest_detail(number) for _, number in uses)
    orders = "JOIN uoop_orders o ON o.id = r.order_id" if reads else ""
    # they are failures of the stage in which the cohort began: nobody has been asked yet in a later one
    attempts, since = ("r.attempts", "r.failing_since") if cohort.leg == 0 else ("0", "NULL")
    result = connection.execute(
        text(
            "SELECT r.id, r.order_id, r.tenant_id, r.done, r.touched, r.undone, "  # as the fields of Member
            f"{attempts}, r.generation, r.not_after, r.failure, {since}{columns}{details} "
            f"FROM runs r {orders}{laterals} "
            "WHERE r.id = ANY(CAST(:ids AS bigint[])) AND r.cohort_id = :cohort ORDER BY r.id"
        ),
        {"ids": ids(cohort.members), "cohort": cohort.id},
    )
    names = [*reads, *(name for name, _ in uses)]
    fixed = len(result.keys()) - len(names)
    return [_member([*row[:fixed], dict(zip(names, row[fixed:], strict=True))]) for row in result.all()]


def finish(
    connection: Connection, *, cohort_id: int, epoch: int, step: int, executor: str, outcomes: Outcomes
) -> None:
    """
    Close the intent and keep one outcome per order.

    :raises LostCohort: if this executor's epoch was overtaken
    """
    closed = connection.execute(
        text(
            "UPDATE executions SET finished_at = clock_timestamp() WHERE cohort_id = :cohort AND step = :step "
            "AND epoch = :epoch AND executor = :executor AND finished_at IS NULL"
        ),
        {"cohort": cohort_id, "step": step, "epoch": epoch, "executor": executor},
    )
    if closed.rowcount != 1:
        raise LostCohort(cohort_id=cohort_id, epoch=epoch)
    if not outcomes:
        return
    plain = [run_id for run_id, outcome in outcomes.items() if outcome == DONE]
    told = [_Row(i, o.verdict, o.code, o.provider, o.detail) for i, o in outcomes.items() if o != DONE]
    connection.execute(
        text(
            "INSERT INTO outcomes (run_id, cohort_id, step, verdict, code, provider, detail) "
            "SELECT run_id, :cohort, :step, :done, NULL, NULL, NULL FROM unnest(CAST(:plain AS bigint[])) AS p(run_id) "
            "UNION ALL SELECT run_id, :cohort, :step, verdict, code, provider, detail "
            'FROM json_to_recordset(CAST(:rows AS json)) AS o(run_id bigint, verdict "char", code text, '
            "provider text, detail json)"
        ),
        {"cohort": cohort_id, "step": step, "done": DONE.verdict, "plain": ids(plain), "rows": rows(told)},
    )


def hold(connection: Connection, *, cohort_id: int, step: int, executor: str) -> None:
    """
    Keep the execution from being taken over, and its cohort from being taken apart, until the transaction ends.

    :raises LostCohort: if it has been
    """
    held = connection.execute(
        text(
            "SELECT FROM executions e JOIN cohorts c ON c.id = e.cohort_id WHERE e.cohort_id = :cohort "
            "AND e.step = :step AND e.executor = :executor AND e.finished_at IS NULL AND c.ended_at IS NULL FOR SHARE"
        ),
        {"cohort": cohort_id, "step": step, "executor": executor},
    )
    if held.one_or_none() is None:
        raise LostCohort(cohort_id=cohort_id)


def finished_by(connection: Connection, *, cohort_id: int, step: int, executor: str) -> bool:
    """Whether this very executor has finished the step: asked when the answer to its commit was lost."""
    found = connection.execute(
        text(
            "SELECT FROM executions WHERE cohort_id = :cohort AND step = :step AND executor = :executor "
            "AND finished_at IS NOT NULL"
        ),
        {"cohort": cohort_id, "step": step, "executor": executor},
    )
    return found.one_or_none() is not None


def heartbeat(
    connection: Connection, held: Sequence[tuple[int, int, str]], *, lease_s: float = LEASE_S
) -> None:
    """Prolong the leases of (cohort, step, executor) that are still being executed."""
    connection.execute(
        text(
            "UPDATE executions e SET lease_until = clock_timestamp() + make_interval(secs => :lease) "
            "FROM json_to_recordset(CAST(:rows AS json)) AS h(cohort_id bigint, step smallint, executor text) "
            "WHERE (e.cohort_id, e.step, e.executor) = (h.cohort_id, h.step, h.executor) AND e.finished_at IS NULL"
        ),
        {
            "lease": lease_s,
            "rows": rows([{"cohort_id": c, "step": s, "executor": x} for c, s, x in held]),
        },
    )


def _children_of(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:"


def _member(values: Sequence[Any]) -> Member:
    return Member(*values)


def _cohort(row: Any) -> Cohort:
    return Cohort(
        id=row.id,
        epoch=row.epoch,
        saga=row.saga,
        version=row.version,
        direction=Direction(row.direction),
        lane=row.lane,
        itinerary=tuple(row.itinerary),
        leg=row.leg,
        members=tuple(row.members),
        seen_at=row.seen_at,
    )


def _latest_detail(number: int) -> str:
    return (
        f" LEFT JOIN LATERAL (SELECT detail FROM outcomes x WHERE x.run_id = r.id AND x.step = {number} "
        f"AND x.detail IS NOT NULL ORDER BY x.cohort_id DESC LIMIT 1) d{number} ON true"
    )
