"""The pivot's gate: after it a run only goes forward."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from app.database import ids
from app.runs.model import CANCELLED, EXPIRED, HOLD_EXPIRED, Cohort, Member, Outcome, Verdict

_CLOSE = text("""
    WITH passed AS (
        UPDATE runs r SET gated = true
        WHERE r.id = ANY(CAST(:ids AS bigint[])) AND r.cohort_id = :cohort
        AND (r.gated AND :once OR NOT r.cancel_requested AND r.not_after > now()
            AND (NOT :needs_hold OR EXISTS (SELECT FROM capacity_holds h WHERE h.run_id = r.id
                AND h.released_at IS NULL AND h.expires_at > now())))
        RETURNING r.id
    )
    SELECT id FROM unnest(CAST(:ids AS bigint[])) AS all_of(id) WHERE id NOT IN (SELECT id FROM passed)
""")
# in a statement of its own, which sees what was committed while the first one waited for a row
_WHY_NOT = text("""
    SELECT id, CASE WHEN cancel_requested THEN :cancelled WHEN not_after <= now() THEN :expired
        ELSE :hold_expired END
    FROM runs WHERE id = ANY(CAST(:ids AS bigint[]))
""")


def expired(cohort: Cohort, members: Sequence[Member], *, sure: bool) -> dict[int, Outcome]:
    """
    Those past their `not_after`, by run id: whatever step up to the pivot is next, nobody is called for them.

    :param sure: nor has been in an earlier execution of the step in the same cohort
    """
    late = _stopped(EXPIRED, sure=sure)
    return {member.run_id: late for member in members if member.not_after <= cohort.seen_at}


def close(
    connection: Connection,
    cohort: Cohort,
    members: Sequence[Member],
    *,
    needs_hold: bool,
    once: bool,
    sure: bool,
) -> dict[int, Outcome]:
    """
    Let the members through to the pivot before the call; one statement when all may pass.

    :param needs_hold: whether they must have held capacity
    :param once: who has passed may pass again: what he may have done at the pivot cannot be undone
    :param sure: as in `expired`
    :return: those that may not pass, by run id: cancelled, past their `not_after`, or without their hold
    """
    stopped = connection.execute(
        _CLOSE,
        {"ids": ids(m.run_id for m in members), "cohort": cohort.id, "needs_hold": needs_hold, "once": once},
    )
    left = list(stopped.scalars())
    if not left:
        return {}
    refused = connection.execute(
        _WHY_NOT,
        {"ids": ids(left), "cancelled": CANCELLED, "expired": EXPIRED, "hold_expired": HOLD_EXPIRED},
    )
    return {run_id: _stopped(code, sure=sure) for run_id, code in refused}


def _stopped(code: str, *, sure: bool) -> Outcome:
    return Outcome(Verdict.NOT_YET if sure else Verdict.REJECTED, code)
