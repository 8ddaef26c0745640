"""
Which of beat's jobs would find something to do: asked in one query, so that an idle platform costs nearly nothing.

A wrong yes costs a look, a wrong no is made good by the next look that comes in any case.
"""

from collections.abc import Iterable

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app.webhooks import deliveries

CLAIM, SWEEP, RELAY = "claim", "sweep", "relay"
SEND_WEBHOOKS, APPLY_REPORTS = "send-webhooks", "apply-reports"
JOBS = frozenset({CLAIM, SWEEP, RELAY, SEND_WEBHOOKS, APPLY_REPORTS})
ANSWER_S = 2.0  # the patience of whoever asks: beat's other jobs wait meanwhile

log = structlog.get_logger()

_WAITING = text(f"""
    SELECT EXISTS (SELECT FROM lanes l WHERE EXISTS (
            SELECT FROM runs r WHERE r.state = 'w' AND r.lane = l.name AND r.due_at <= now())) AS "{CLAIM}",
        EXISTS (SELECT FROM slots WHERE cohort_id IS NOT NULL) OR EXISTS (SELECT FROM pauses)
            OR EXISTS (SELECT FROM lanes l WHERE starts_with(l.name, 'paused:') AND EXISTS (
                SELECT FROM runs r WHERE r.state = 'w' AND r.lane = l.name)) AS "{SWEEP}",
        EXISTS (SELECT FROM outbox_in)
            OR EXISTS (SELECT FROM sinks s, outbox_sequencer q WHERE s.pos < q.pos AND s.name = ANY(:sinks))
            AS "{RELAY}",
        {deliveries.ANY_IS_DUE} AS "{SEND_WEBHOOKS}",
        EXISTS (SELECT FROM delivery_reports WHERE state = 'n')
            OR EXISTS (SELECT FROM delivery_reports WHERE state = 'w' AND due_at <= now()) AS "{APPLY_REPORTS}"
""")


def ask(db: Engine, *, sinks: Iterable[str]) -> frozenset[str]:
    """As `waiting`; all of `JOBS` while the database cannot tell."""
    try:
        with db.connect() as connection:
            return waiting(connection, sinks=sinks)
    except SQLAlchemyError as error:
        log.warning("database-away", error=type(error).__name__)
        return JOBS


def waiting(connection: Connection, *, sinks: Iterable[str]) -> frozenset[str]:
    """
    Those of `JOBS` for which something waits.

    :param sinks: those in use: what another once took goes on to nobody
    """
    found = connection.execute(_WAITING, {"sinks": list(sinks)}).mappings().one()
    return frozenset(job for job, waits in found.items() if waits)
