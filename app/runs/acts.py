"""Operators' acts on runs: the run locked, changed and written into the log of acts, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, text

from app import errors
from app.database import ids, rows
from app.orders.model import Status
from app.runs import cohorts
from app.runs.allowed import Act, Subject
from app.runs.model import Direction, RunState

WAITING_LANE_SLOTS = 1

SUBJECT = """
    r.id AS run_id, r.order_id, r.tenant_id, r.saga, r.version, r.state, r.direction,
    coalesce(c.itinerary[c.leg + 1], r.stage) AS stage, r.attempts, r.gated, r.cancel_requested, r.done,
    r.touched, r.undone, r.lane, r.due_at, r.not_after, r.failure, o.status AS order_status,
    clock_timestamp() AS seen_at
"""
FROM = "runs r JOIN uoop_orders o ON o.id = r.order_id LEFT JOIN cohorts c ON c.id = r.cohort_id"


class RunNotFound(errors.NotFound):
    """There is no such run."""

    code = "run-not-found"


@dataclass(frozen=True, slots=True)
class Done:
    """One act: how the order's run stood and stands, or the new one that it began. `step`: the one that it names."""

    act: Act
    before: Subject
    after: Subject
    step: str | None = None


def lock(connection: Connection, tenant_id: str, run_ids: Sequence[int], *, wait: bool) -> list[Subject]:
    """
    The tenant's runs, in id order, kept from everybody else until the transaction ends.

    :param wait: False leaves out those that somebody holds just now: who locks many must not wait for any
    """
    skip = "" if wait else " SKIP LOCKED"
    result = connection.execute(
        text(
            f"SELECT {SUBJECT} FROM {FROM} WHERE r.id = ANY(CAST(:ids AS bigint[])) AND r.tenant_id = :tenant "
            f"ORDER BY r.id FOR UPDATE OF r{skip}"
        ),
        {"ids": ids(run_ids), "tenant": tenant_id},
    )
    return [subject(row) for row in result]


def keep(connection: Connection, done: Sequence[Done], *, who: str, why: str) -> None:
    """Write what was decided of locked runs, and that it was done; a travelling run only gets its flag."""
    moved = [one.after for one in done if one.after.state is not RunState.TRAVELLING]
    for lane in sorted({run.lane for run in moved if run.state is RunState.WAITING}):
        cohorts.open_lane(connection, lane, slots=WAITING_LANE_SLOTS)
    connection.execute(
        text("""
            UPDATE runs r SET state = d.state, direction = d.direction, stage = d.stage, attempts = d.attempts,
                done = d.done, lane = d.lane, due_at = d.due_at, failure = d.failure,
                failing_since = CASE WHEN d.attempts > 0 THEN r.failing_since END,
                cancel_requested = d.cancel_requested, updated_at = clock_timestamp()
            FROM json_to_recordset(CAST(:rows AS json)) AS d(id bigint, state "char", direction "char",
                stage smallint, attempts smallint, done integer, lane text, due_at timestamptz, failure jsonb,
                cancel_requested boolean)
            WHERE r.id = d.id AND r.state <> 't'
        """),
        {"rows": rows([_written(run) for run in moved])},
    )
    flagged = [one.after.run_id for one in done if one.after.state is RunState.TRAVELLING]
    connection.execute(
        text("UPDATE runs SET cancel_requested = true WHERE id = ANY(CAST(:ids AS bigint[]))"),
        {"ids": ids(flagged)},
    )
    log(connection, done, who=who, why=why)


def log(connection: Connection, done: Sequence[Done], *, who: str, why: str) -> None:
    """Write that it was done, of the runs as they are afterwards."""
    connection.execute(
        text("""
            INSERT INTO ops_acts (tenant_id, run_id, order_id, act, step, who, why, before, after)
            SELECT tenant_id, run_id, order_id, act, step, :who, :why, before, after
            FROM json_to_recordset(CAST(:rows AS json)) AS d(tenant_id text, run_id bigint, order_id text,
                act text, step text, before jsonb, after jsonb)
        """),
        {"rows": rows([_logged(one) for one in done]), "who": who, "why": why},
    )


def keep_begun(
    connection: Connection, run_id: int, act: str, *, who: str, why: str, before: Mapping[str, Any]
) -> None:
    """Write that an operator has begun a follow-up run; `before` tells how its order stood."""
    connection.execute(
        text("""
            INSERT INTO ops_acts (tenant_id, run_id, order_id, act, who, why, before, after)
            SELECT tenant_id, id, order_id, :act, :who, :why, CAST(:before AS jsonb),
                jsonb_build_object('run_id', id::text, 'saga', saga) FROM runs WHERE id = :id
        """),
        {"id": run_id, "act": act, "who": who, "why": why, "before": rows(before)},
    )


def keep_on_order(
    connection: Connection, order_id: str, act: str, *, who: str, why: str, after: Mapping[str, Any]
) -> None:
    """Write that an operator did something to an order that changes none of its runs; told with its first one."""
    connection.execute(
        text("""
            INSERT INTO ops_acts (tenant_id, run_id, order_id, act, who, why, before, after)
            SELECT tenant_id, run_id, id, :act, :who, :why, jsonb_build_object('status', status), CAST(:after AS jsonb)
            FROM uoop_orders WHERE id = :id
        """),
        {"id": order_id, "act": act, "who": who, "why": why, "after": rows(after)},
    )


def subject(row: Any) -> Subject:
    """Read the columns of SUBJECT."""
    named = {name: getattr(row, name) for name in Subject.__slots__}
    return Subject(
        **named
        | {
            "state": RunState(row.state),
            "direction": Direction(row.direction),
            "order_status": Status(row.order_status),
        }
    )


def told(run: Subject) -> dict[str, Any]:
    """How a run stands, for the log and for people."""
    return {
        **asdict(run),
        "run_id": str(run.run_id),  # a 63-bit number is too long for JavaScript
        "state": run.state.name.lower(),
        "direction": run.direction.name.lower(),
    }


def _written(run: Subject) -> dict[str, Any]:
    names = (
        "state",
        "direction",
        "stage",
        "attempts",
        "done",
        "lane",
        "due_at",
        "failure",
        "cancel_requested",
    )
    return {"id": run.run_id, **{name: getattr(run, name) for name in names}}


def _logged(one: Done) -> dict[str, Any]:
    return {
        "tenant_id": one.before.tenant_id,
        "run_id": one.after.run_id,
        "order_id": one.before.order_id,
        "act": one.act,
        "step": one.step,
        "before": told(one.before),
        "after": told(one.after),
    }
