"""The story of a run, told from the log of its steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from app.database import ids
from app.runs.model import Direction, RunState, Verdict

# all executions in which the runs :ids took part, oldest first
OF_EXECUTIONS = """
    FROM runs r CROSS JOIN LATERAL unnest(r.trail) AS t(cohort_id)
    JOIN cohorts c ON c.id = t.cohort_id JOIN executions e ON e.cohort_id = c.id
    LEFT JOIN outcomes o ON o.run_id = r.id AND o.cohort_id = c.id AND o.step = e.step
        AND o.run_id = ANY(CAST(:ids AS bigint[]))
    WHERE r.id = ANY(CAST(:ids AS bigint[]))
        AND (o.run_id IS NOT NULL OR (e.finished_at IS NULL AND r.cohort_id = c.id))
    ORDER BY e.started_at, e.step
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands now. `stage` counts in its direction, None when it is not under way."""

    run_id: int
    saga: str
    version: int
    state: RunState
    direction: Direction
    stage: int | None
    lane: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One execution of one step in which the run took part; `verdict` is None while it runs."""

    step: int
    direction: Direction
    cohort_id: int
    cohort_size: int
    started_at: datetime
    finished_at: datetime | None
    verdict: Verdict | None
    code: str | None


def standings(connection: Connection, run_ids: Sequence[int]) -> dict[int, Standing]:
    """Where the runs stand, those that are gone left out."""
    result = connection.execute(
        text(
            "SELECT r.id, r.saga, r.version, r.state, r.direction, CASE r.state WHEN 'w' THEN r.stage "
            "WHEN 't' THEN c.itinerary[c.leg + 1] END AS stage, r.lane, r.due_at "
            "FROM runs r LEFT JOIN cohorts c ON c.id = r.cohort_id WHERE r.id = ANY(CAST(:ids AS bigint[]))"
        ),
        {"ids": ids(run_ids)},
    )
    return {
        row[0]: Standing(row[0], row[1], row[2], RunState(row[3]), Direction(row[4]), *row[5:])
        for row in result
    }


def stories(connection: Connection, run_ids: Sequence[int]) -> dict[int, list[StepRecord]]:
    """All executions of each run, oldest first."""
    result = connection.execute(
        text(
            "SELECT r.id, e.step, c.direction, c.id, c.size, e.started_at, e.finished_at, o.verdict, o.code "
            + OF_EXECUTIONS
        ),
        {"ids": ids(run_ids)},
    )
    found: dict[int, list[StepRecord]] = {run_id: [] for run_id in run_ids}
    for run_id, step, direction, cohort_id, size, started_at, finished_at, verdict, code in result:
        found[run_id].append(
            StepRecord(
                step,
                Direction(direction),
                cohort_id,
                size,
                started_at,
                finished_at,
                Verdict(verdict) if verdict else None,
                code,
            )
        )
    return found
