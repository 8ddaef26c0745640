"""Cohorts: claimed from a lane into a slot, moved on leg by leg, left by runs, swept when their carrier is lost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from app.database import ids, rows
from app.runs.model import PASSED, Arrival, Cohort, Departure, Direction, Outcome, RunState, Verdict

MIN_QUEUE_WAIT_S = 30.0
MIN_JOIN_WAIT_S = 3.0
LATELY_S = 10.0  # older waits tell of an outage that is over
# What a cohort costs is mostly its own, not its members': where many come, a lane rests longer, and fewer carry more.
BIG, LONGEST_REST = 400, 1.75  # runs; intervals

# The tenants that wait in a lane, by a loose scan of its index: one probe per tenant, whatever the backlog.
WAITING_TENANTS = """
    WITH RECURSIVE scan AS (
        (SELECT tenant_id FROM runs WHERE state = 'w' AND lane = :lane ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT tenant_id FROM runs WHERE state = 'w' AND lane = :lane
            AND tenant_id > scan.tenant_id ORDER BY tenant_id LIMIT 1)
        FROM scan WHERE scan.tenant_id IS NOT NULL
    ), waiting AS (SELECT tenant_id FROM scan WHERE tenant_id IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """
    A new cohort, to be sent on its way after the commit.

    :param rest_s: for which its lane starts no other
    """

    id: int
    epoch: int
    saga: str
    version: int
    direction: Direction
    lane: str
    itinerary: tuple[int, ...]
    size: int
    rest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Lost:
    """
    A cohort that was taken over from a lost carrier.

    :param leg: from which it goes on
    :param starts: how often the step that was under way has been started
    """

    claimed: Claimed
    leg: int
    starts: int


@dataclass(frozen=True, slots=True)
class ParallelStage:
    """A stage going forward, with the numbers of its several steps."""

    saga: str
    version: int
    stage: int
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that could be claimed."""

    id: int
    saga: str
    version: int
    direction: Direction
    stage: int
    touched: int
    undone: int

    @property
    def group(self) -> tuple[str, int, Direction, int | None]:
        """Only runs of one group travel together; compensation starts wherever its members need it."""
        return (
            self.saga,
            self.version,
            self.direction,
            self.stage if self.direction is Direction.FORWARD else None,
        )


# The stages that a group passes, or the lane through which alone it may go there.
Itinerary = Callable[[Sequence[Waiting]], tuple[int, ...] | str]


def due_lanes(connection: Connection, *, interval_s: float) -> dict[str, float]:
    """Lanes in which a run is due, with the seconds until each may start its next cohort."""
    result = connection.execute(
        text("""
            SELECT l.name, greatest(0, extract(epoch FROM
                l.started_at + make_interval(secs => greatest(:interval, l.rest_s)) - clock_timestamp()))::float
                AS wait_s
            FROM lanes l
            WHERE EXISTS (SELECT FROM slots s WHERE s.lane = l.name AND s.cohort_id IS NULL)
            AND EXISTS (SELECT FROM runs r WHERE r.state = 'w' AND r.lane = l.name AND r.due_at <= now())
        """),
        {"interval": interval_s},
    )
    return {row.name: row.wait_s for row in result}


def claim(
    connection: Connection, lane: str, *, size: int, itinerary: Itinerary, interval_s: float = 0.0
) -> Claimed | None:
    """
    Take what is due in `lane`, up to `size` runs of one group, into a free slot.

    :param interval_s: time since the lane's last start at least, and more after a big cohort; asked again under lock,
        since others claim too
    :return: None if there is no free slot, nothing is due, it is too early, another claims in the lane just now, or
        the group was sent into another lane
    """
    slot = connection.execute(
        text("""
            SELECT s.n FROM slots s JOIN lanes l ON l.name = s.lane
            WHERE l.name = :lane AND s.cohort_id IS NULL
                AND l.started_at <= clock_timestamp() - make_interval(secs => greatest(:interval, l.rest_s))
            ORDER BY s.n LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
        """),
        {"lane": lane, "interval": interval_s},
    ).scalar_one_or_none()
    if slot is None:
        return None
    waiting = _take(connection, lane, size)
    if not waiting:
        return None
    first = waiting[0]
    group = [run for run in waiting if run.group == first.group]
    stages = itinerary(group)
    if isinstance(stages, str):
        _send_round(connection, stages, group)
        return None
    rest_s = interval_s * _rest(len(group), size)
    cohort_id, epoch = connection.execute(
        text("""
            WITH cohort AS (
                INSERT INTO cohorts (id, saga, version, direction, lane, itinerary, members, size)
                VALUES (time_id(), :saga, :version, :direction, :lane, :itinerary, CAST(:members AS bigint[]), :size)
                RETURNING id, epoch
            ), slot AS (
                UPDATE slots SET cohort_id = cohort.id FROM cohort WHERE slots.lane = :lane AND slots.n = :slot
            ), lane AS (
                UPDATE lanes SET started_at = clock_timestamp(), rest_s = :rest WHERE name = :lane
            ), runs AS (
                UPDATE runs r SET state = 't', cohort_id = cohort.id, trail = r.trail || cohort.id
                FROM cohort WHERE r.id = ANY(CAST(:members AS bigint[]))
            )
            SELECT id, epoch FROM cohort
        """),
        {
            "saga": first.saga,
            "version": first.version,
            "direction": first.direction,
            "lane": lane,
            "itinerary": list(stages),
            "members": ids(sorted(run.id for run in group)),
            "size": len(group),
            "slot": slot,
            "rest": rest_s,
        },
    ).one()
    return Claimed(
        cohort_id, epoch, first.saga, first.version, first.direction, lane, stages, len(group), rest_s
    )


def move_on(connection: Connection, cohort: Cohort, departures: Sequence[Departure]) -> bool:
    """
    Write one leg's end: who leaves and how, and whether the others travel on.

    :return: whether the cohort still travels
    """
    if departures:
        _depart(connection, cohort, departures)
    gone = {departure.id for departure in departures}
    staying = [run_id for run_id in cohort.members if run_id not in gone]
    if not staying:
        _end(connection, cohort)
        return False
    members = "" if not gone else ", members = CAST(:members AS bigint[])"
    connection.execute(
        text(f"UPDATE cohorts SET leg = leg + 1, progressed_at = clock_timestamp(){members} WHERE id = :id"),
        {"id": cohort.id, **({"members": ids(staying)} if gone else {})},
    )
    return True


def arrive(connection: Connection, cohort: Cohort, arrival: Arrival) -> None:
    """Write the end of a cohort whose members have all got through, alike for each of them."""
    if arrival.state is RunState.WAITING:
        open_lane(connection, arrival.lane, slots=1)
    connection.execute(
        text("""
            UPDATE runs SET state = :state, stage = :stage, lane = :lane, done = done | :passed,
                touched = touched | :passed, attempts = 0, failing_since = NULL, due_at = now(), cohort_id = NULL,
                updated_at = clock_timestamp()
            WHERE id = ANY(CAST(:ids AS bigint[])) AND cohort_id = :cohort
        """),
        {
            "state": arrival.state,
            "stage": arrival.stage,
            "lane": arrival.lane,
            "passed": arrival.passed,
            "ids": ids(cohort.members),
            "cohort": cohort.id,
        },
    )
    _end(connection, cohort)


def branches(connection: Connection, cohort: Cohort, steps: Sequence[int]) -> tuple[set[int], bool]:
    """The steps of a parallel stage that are finished, and whether they have passed every run."""
    row = connection.execute(
        text("""
            SELECT ARRAY(SELECT step FROM executions WHERE cohort_id = :id AND step = ANY(:steps)
                    AND finished_at IS NOT NULL) AS finished,
                NOT EXISTS (SELECT FROM outcomes WHERE run_id = ANY(CAST(:members AS bigint[])) AND cohort_id = :id
                    AND step = ANY(:steps) AND verdict <> ALL(CAST(:passed AS "char"[]))) AS passed
        """),
        {"id": cohort.id, "steps": list(steps), "members": ids(cohort.members), "passed": list(PASSED)},
    ).one()
    return set(row.finished), row.passed


def branch_outcomes(
    connection: Connection, cohort: Cohort, steps: Sequence[int]
) -> dict[int, dict[int, Outcome]]:
    """The outcomes of a parallel stage by run and step (details of refusals only)."""
    result = connection.execute(
        text(
            "SELECT run_id, step, verdict, code, CASE verdict WHEN 'r' THEN detail END, provider FROM outcomes "
            "WHERE run_id = ANY(CAST(:members AS bigint[])) AND cohort_id = :id AND step = ANY(:steps)"
        ),
        {"id": cohort.id, "steps": list(steps), "members": ids(cohort.members)},
    )
    by_run: dict[int, dict[int, Outcome]] = {}
    for run_id, step, verdict, code, detail, provider in result:
        by_run.setdefault(run_id, {})[step] = Outcome(Verdict(verdict), code, detail, provider)
    return by_run


def lanes_in_trouble(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those in which runs wait that have failed there, or are asking for the first time at this moment."""
    result = connection.execute(
        text("""
            SELECT name FROM unnest(CAST(:names AS text[])) AS l(name)
            WHERE EXISTS (SELECT FROM runs r WHERE r.state = 'w' AND r.attempts > 0 AND r.lane = l.name)
            OR EXISTS (SELECT FROM slots s JOIN cohorts c ON c.id = s.cohort_id WHERE s.lane = l.name AND c.leg = 0)
        """),
        {"names": list(names)},
    )
    return set(result.scalars())


def open_lane(connection: Connection, name: str, *, slots: int) -> None:
    """Make a lane and its slots, or grow it; harmless when they are there."""
    connection.execute(text("INSERT INTO lanes (name) VALUES (:name) ON CONFLICT DO NOTHING"), {"name": name})
    connection.execute(
        text(
            "INSERT INTO slots (lane, n) SELECT :name, n FROM generate_series(1, :slots) n ON CONFLICT DO NOTHING"
        ),
        {"name": name, "slots": slots},
    )


def size_lane(connection: Connection, name: str, *, slots: int) -> None:
    """Open a lane with exactly so many slots; what travels in one too many still gets through."""
    open_lane(connection, name, slots=slots)
    connection.execute(
        text("DELETE FROM slots WHERE lane = :name AND n > :slots AND cohort_id IS NULL"),
        {"name": name, "slots": slots},
    )


def adopt_lost(
    connection: Connection, *, incarnation: str, parallel: Sequence[ParallelStage] = ()
) -> list[Lost]:
    """
    Cohorts whose carrier is surely or very probably gone, taken over in a new epoch.

    That is: a step whose lease ran out; or no step running and the broker's incarnation has changed since it
    was sent, or it has not been sent within a second, or nothing has moved for max(30 s, 10 times what others have
    lately waited for their first step).
    One that is just being moved on is left alone, and holds up nobody.
    A join whose branches are all finished is awaited for max(3 s, the same), twice as long in each further epoch: to
    send it again costs little, and the chord that should have sent it loses count when a branch dies between its
    result and its count. But where queues are longer than that, it must not go on for ever.
    """
    result = connection.execute(
        text("""
            WITH usual AS (
                SELECT 10 * coalesce(extract(epoch FROM max(e.started_at - c.created_at)), 0) AS wait_s
                FROM slots s JOIN cohorts c ON c.id = s.cohort_id
                JOIN executions e ON e.cohort_id = c.id AND e.epoch = 1 AND e.starts = 1 AND c.leg = 0
                WHERE e.started_at > clock_timestamp() - make_interval(secs => :lately)
            ), lost AS (
                SELECT c.id, c.epoch FROM slots s JOIN cohorts c ON c.id = s.cohort_id
                LEFT JOIN LATERAL (
                    SELECT min(e.lease_until) AS lease_until FROM executions e
                    WHERE e.cohort_id = c.id AND e.finished_at IS NULL AND e.epoch = c.epoch
                ) running ON true
                LEFT JOIN LATERAL (
                    SELECT greatest(max(e.finished_at), c.progressed_at) AS since
                    FROM json_to_recordset(CAST(:parallel AS json))
                        AS p(saga text, version smallint, stage smallint, steps smallint[])
                    JOIN executions e ON e.cohort_id = c.id AND e.step = ANY(p.steps) AND e.finished_at IS NOT NULL
                    WHERE c.direction = 'f'
                    AND (p.saga, p.version, p.stage) = (c.saga, c.version, c.itinerary[c.leg + 1])
                    GROUP BY p.steps HAVING count(*) = cardinality(p.steps)
                ) branches_finished ON true
                CROSS JOIN usual
                WHERE CASE WHEN running.lease_until IS NOT NULL THEN running.lease_until < clock_timestamp()
                    ELSE c.incarnation IS DISTINCT FROM :incarnation
                        AND (c.incarnation IS NOT NULL OR c.progressed_at < clock_timestamp() - interval '1 s')
                        OR c.progressed_at < clock_timestamp()
                            - make_interval(secs => greatest(:min_wait, usual.wait_s))
                        OR branches_finished.since < clock_timestamp()
                            - make_interval(secs => greatest(:min_join_wait * 2 ^ least(c.epoch - 1, 4),
                                usual.wait_s)) END
                FOR NO KEY UPDATE OF c SKIP LOCKED
            )
            UPDATE cohorts c SET epoch = c.epoch + 1, progressed_at = clock_timestamp(), incarnation = NULL
            FROM lost WHERE c.id = lost.id AND c.epoch = lost.epoch AND c.ended_at IS NULL
            RETURNING c.id, c.epoch, c.saga, c.version, c.direction, c.lane, c.itinerary, c.leg,
                cardinality(c.members) AS size,
                (SELECT coalesce(max(e.starts), 0) FROM executions e
                    WHERE e.cohort_id = c.id AND e.finished_at IS NULL) AS starts
        """),
        {
            "incarnation": incarnation,
            "min_wait": MIN_QUEUE_WAIT_S,
            "min_join_wait": MIN_JOIN_WAIT_S,
            "lately": LATELY_S,
            "parallel": rows(parallel),
        },
    )
    return [
        Lost(
            Claimed(
                r.id, r.epoch, r.saga, r.version, Direction(r.direction), r.lane, tuple(r.itinerary), r.size
            ),
            leg=r.leg,
            starts=r.starts,
        )
        for r in result
    ]


def mark_sent(connection: Connection, cohort_id: int, *, epoch: int, incarnation: str) -> None:
    """Note which broker carries the cohort, unless its carrier has been given up already."""
    connection.execute(
        text(
            "UPDATE cohorts SET incarnation = :incarnation "
            "WHERE id = :id AND epoch = :epoch AND incarnation IS NULL"
        ),
        {"id": cohort_id, "epoch": epoch, "incarnation": incarnation},
    )


def forget_carrier(connection: Connection, cohort_id: int, *, epoch: int, steps: Sequence[int]) -> None:
    """Give up a cohort's carrier: those of the steps that it executes run out now, the next sweep adopts the cohort."""
    connection.execute(
        text(
            "UPDATE executions SET lease_until = '-infinity' "
            "WHERE cohort_id = :id AND epoch = :epoch AND step = ANY(:steps) AND finished_at IS NULL"
        ),
        {"id": cohort_id, "epoch": epoch, "steps": list(steps)},
    )
    connection.execute(
        text("UPDATE cohorts SET incarnation = '' WHERE id = :id AND epoch = :epoch AND ended_at IS NULL"),
        {"id": cohort_id, "epoch": epoch},
    )


def _rest(taken: int, size: int) -> float:
    """For how many intervals a lane rests; who left some behind, for want of room in the cohort, does not linger."""
    return 1.0 if taken >= size else 1 + (LONGEST_REST - 1) * min(1.0, taken / BIG)


def _end(connection: Connection, cohort: Cohort) -> None:
    connection.execute(
        text("""
            WITH cohort AS (
                UPDATE cohorts SET leg = leg + 1, members = '{}', ended_at = clock_timestamp(),
                    progressed_at = clock_timestamp() WHERE id = :id
            )
            UPDATE slots SET cohort_id = NULL WHERE lane = :lane AND cohort_id = :id
        """),
        {"id": cohort.id, "lane": cohort.lane},
    )


def _send_round(connection: Connection, lane: str, group: Sequence[Waiting]) -> None:
    """Let them wait in another lane."""
    open_lane(connection, lane, slots=1)
    connection.execute(
        text("UPDATE runs SET lane = :lane WHERE id = ANY(CAST(:ids AS bigint[]))"),
        {"lane": lane, "ids": ids(sorted(run.id for run in group))},
    )


def _take(connection: Connection, lane: str, size: int) -> list[Waiting]:
    """Due runs of the lane, locked: an equal share per waiting tenant first, then whoever waits longest."""
    tenants = connection.execute(
        text(f"{WAITING_TENANTS} SELECT tenant_id FROM waiting"), {"lane": lane}
    ).scalars()
    names = list(tenants)
    if not names:
        return []
    taken = _take_share(connection, lane, names, max(1, size // len(names)), size, [])
    if len(names) > 1 and len(taken) < size:
        left = size - len(taken)
        taken += _take_share(connection, lane, names, left, left, [run.id for run in taken])
    return taken


def _take_share(
    connection: Connection, lane: str, tenants: list[str], share: int, limit: int, but: list[int]
) -> list[Waiting]:
    result = connection.execute(
        text("""
            SELECT r.id, r.saga, r.version, r.direction, r.stage, r.touched, r.undone
            FROM unnest(CAST(:tenants AS text[])) t(tenant_id) CROSS JOIN LATERAL (
                SELECT * FROM runs WHERE state = 'w' AND lane = :lane AND tenant_id = t.tenant_id COLLATE "C"
                AND due_at <= now() AND id <> ALL(CAST(:but AS bigint[]))
                ORDER BY due_at, id LIMIT :share FOR UPDATE SKIP LOCKED
            ) r ORDER BY r.due_at, r.id LIMIT :limit
        """),
        {"tenants": tenants, "lane": lane, "share": share, "limit": limit, "but": but},
    )
    return [Waiting(r[0], r[1], r[2], Direction(r[3]), r[4], r[5], r[6]) for r in result]


def _depart(connection: Connection, cohort: Cohort, leaving: Sequence[Departure]) -> None:
    values: list[dict[str, Any]] = [
        {
            "id": d.id,
            "state": d.state,
            "direction": d.direction,
            "stage": d.stage,
            "done": d.done,
            "touched": d.touched,
            "undone": d.undone,
            "attempts": d.attempts,
            "lane": d.lane,
            "due_in_s": d.due_in_s,
            "due_at": d.due_at,
            "failure": d.failure,
            "failing_since": d.failing_since,
        }
        for d in sorted(leaving, key=lambda d: d.id)
    ]
    lanes = {d.lane for d in leaving if d.state is RunState.WAITING}
    for lane in sorted(lanes):
        open_lane(connection, lane, slots=1)
    # retries come due in quarters of a second, so that they travel together
    connection.execute(
        text("""
            UPDATE runs r SET state = d.state, direction = d.direction, stage = d.stage, done = d.done,
                touched = d.touched, undone = d.undone, attempts = d.attempts, lane = d.lane,
                due_at = CASE WHEN d.due_at IS NOT NULL THEN d.due_at WHEN d.due_in_s > 0 THEN date_bin('250 ms',
                    now() + make_interval(secs => d.due_in_s) + interval '250 ms', 'epoch') ELSE now() END,
                failure = coalesce(d.failure, r.failure), failing_since = d.failing_since, cohort_id = NULL,
                gated = r.gated AND r.id <> ALL(CAST(:unasked AS bigint[])), updated_at = clock_timestamp()
            FROM json_to_recordset(CAST(:rows AS json)) AS d(id bigint, state "char", direction "char",
                stage smallint, done integer, touched integer, undone integer, attempts smallint, lane text,
                due_in_s double precision, due_at timestamptz, failure jsonb, failing_since timestamptz)
            WHERE r.id = d.id AND r.cohort_id = :cohort
        """),
        {"rows": rows(values), "cohort": cohort.id, "unasked": ids(d.id for d in leaving if d.unasked)},
    )
