"""The story of a run, told from the log of its steps."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from app.runs.model import Direction, RunState, Verdict

# all executions in which the run :id took part, oldest first
OF_EXECUTIONS = """
    FROM runs r CROSS JOIN LATERAL unnest(r.trail) AS t(cohort_id)
    JOIN cohorts c ON c.id = t.cohort_id JOIN executions e ON e.cohort_id = c.id
    LEFT JOIN outcomes o ON o.run_id = r.id AND o.cohort_id = c.id AND o.step = e.step
    WHERE r.id = :id AND (o.run_id IS NOT NULL OR (e.finished_at IS NULL AND r.cohort_id = c.id))
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


def standing(connection: Connection, run_id: int) -> Standing | None:
    """Where the run stands, None if it is gone."""
    row = connection.execute(
        text(
            "SELECT r.id, r.saga, r.version, r.state, r.direction, CASE r.state WHEN 'w' THEN r.stage "
            "WHEN 't' THEN c.itinerary[c.leg + 1] END AS stage, r.lane, r.due_at "
            "FROM runs r LEFT JOIN cohorts c ON c.id = r.cohort_id WHERE r.id = :id"
        ),
        {"id": run_id},
    ).one_or_none()
    if row is None:
        return None
    return Standing(row[0], row[1], row[2], RunState(row[3]), Direction(row[4]), *row[5:])


def story(connection: Connection, run_id: int) -> list[StepRecord]:
    """All executions, oldest first."""
    result = connection.execute(
        text(
            "SELECT e.step, c.direction, c.id, c.size, e.started_at, e.finished_at, o.verdict, o.code "
            + OF_EXECUTIONS
        ),
        {"id": run_id},
    )
    return [
        StepRecord(
            row[0],
            Direction(row[1]),
            row[2],
            row[3],
            row[4],
            row[5],
            Verdict(row[6]) if row[6] else None,
            row[7],
        )
        for row in result
    ]
