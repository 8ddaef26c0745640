"""P4: every order comes to its end in time or is parked with its reason; nothing is stuck between."""

from infra.audit.model import Check, Level
from sagas.engine import CRASHES

_UNDOING_MAY_TAKE = "interval '3 min'"  # beyond `not_after`: all tries of the last compensation
_WITH_RUN = "audit_orders WHERE known AND has_run"

CHECKS = (
    Check(
        name="order-ended",
        promise="P4",
        says="every order has come to its end or is parked",
        among=_WITH_RUN,
        wrong="status = 'PENDING' AND state IN ('w', 't')",
        level=Level.OPEN,
    ),
    Check(
        name="order-in-time",
        promise="P4",
        says="no order is under way past its time",
        among=f"{_WITH_RUN} AND NOT held_back",
        wrong="status = 'PENDING' AND state IN ('w', 't') AND clock_timestamp() > CASE direction "
        f"WHEN 'b' THEN greatest(not_after, last_resume) + {_UNDOING_MAY_TAKE} ELSE not_after END",
    ),
    Check(
        name="run-ended",
        promise="P4",
        says="no run is under way",
        among="runs",
        wrong="state IN ('w', 't')",
        level=Level.OPEN,
    ),
    Check(
        name="run-agrees",
        promise="P4",
        says="every run stands where its order's status says",
        among=_WITH_RUN,
        wrong="""CASE WHEN status = 'PENDING' THEN state = 'e'
            WHEN undone_order THEN state <> 'e' OR (run_failure IS NULL) <> recalled_later
            ELSE NOT gated OR direction <> 'f' OR (state = 'e' AND run_failure IS NOT NULL)
                OR (state = 'w' AND stage < last_stage) END""",
    ),
    Check(
        name="terminated-has-act",
        promise="P4",
        says="every run that was ended as it stood was ended by an operator",
        among=_WITH_RUN,
        wrong="terminated AND NOT by_operator",
    ),
    Check(
        name="operator-terminated",
        promise="P4",
        says="no operator has ended an order, or the latest run on it, as it stood",
        among=_WITH_RUN,
        wrong="by_operator OR given_up",
        level=Level.TOLD,
    ),
    Check(
        name="operator-skipped",
        promise="P4",
        says="no operator has skipped a step",
        among=_WITH_RUN,
        wrong="skipped",
        level=Level.TOLD,
    ),
    Check(
        name="operator-pauses",
        promise="P4",
        says="no order waits for the end of a pause",
        among=_WITH_RUN,
        wrong="held_back",
        level=Level.TOLD,
    ),
    Check(
        name="parked-has-reason",
        promise="P4",
        says="every parked run has its reason",
        among="runs WHERE state = 'p'",
        wrong="failure ->> 'code' IS NULL",
    ),
    Check(
        name="slot-led",
        promise="P4",
        says="no slot is held by a cohort that has ended",
        among="slots s LEFT JOIN cohorts c ON c.id = s.cohort_id",
        wrong="s.cohort_id IS NOT NULL AND (c.id IS NULL OR c.ended_at IS NOT NULL OR c.lane <> s.lane)",
        subject="s.lane || '/' || s.n",
    ),
    Check(
        name="cohort-has-slot",
        promise="P4",
        says="every cohort under way has one slot",
        among="cohorts c WHERE c.ended_at IS NULL",
        wrong="(SELECT count(*) FROM slots s WHERE s.cohort_id = c.id) <> 1",
        subject="c.id",
    ),
    Check(
        name="traveller-listed",
        promise="P4",
        says="every travelling run is listed by a cohort under way",
        among="runs r WHERE r.state = 't'",
        wrong="NOT EXISTS (SELECT FROM cohorts c WHERE c.id = r.cohort_id AND c.ended_at IS NULL "
        "AND r.id = ANY(c.members))",
        subject="r.order_id",
    ),
    Check(
        name="listed-travels",
        promise="P4",
        says="every run that a cohort under way lists travels with it",
        among="(SELECT c.id AS cohort_id, m.run_id FROM cohorts c CROSS JOIN LATERAL unnest(c.members) m(run_id) "
        "WHERE c.ended_at IS NULL) l LEFT JOIN runs r ON r.id = l.run_id",
        wrong="r.state IS DISTINCT FROM 't' OR r.cohort_id IS DISTINCT FROM l.cohort_id",
        subject="coalesce(r.order_id, l.run_id::text)",
    ),
    Check(
        name="ended-finished",
        promise="P4",
        says="every step that a cohort began was finished before it ended, unless it was taken apart",
        among="executions e JOIN cohorts c ON c.id = e.cohort_id",
        wrong="c.ended_at IS NOT NULL AND e.finished_at IS NULL AND NOT EXISTS (SELECT FROM executions x "
        f"WHERE x.cohort_id = c.id AND x.finished_at IS NULL AND x.starts >= {CRASHES})",
        subject="e.cohort_id || '/' || e.step",
    ),
)
