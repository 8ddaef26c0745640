"""
Deliveries of which something should have been reported by now.

Only orders of partners who are known to report are watched: a row each, made with the promise, so that neither the
other orders nor the orders' own table pay for it. Who is silent is asked first; what he says is a report of his.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from app.database import rows
from app.deliveries.model import BEFORE_PICKUP, MOVES, Report, Reported, Reporter
from app.orders.model import Status
from app.providers.port import Answer, Verdict

AGAIN_AFTER = timedelta(minutes=1)
LOOKS_AT_ONCE = 500

_BEGIN = text("""
    INSERT INTO delivery_watch (order_id, look_at)
    SELECT order_id, look_at FROM json_to_recordset(CAST(:rows AS json)) AS w(order_id text, look_at timestamptz)
    ORDER BY order_id ON CONFLICT (order_id) DO UPDATE SET look_at = excluded.look_at
""")
_TAKE = text("""
    UPDATE delivery_watch w SET look_at = now() + :again_after
    FROM (SELECT order_id FROM delivery_watch WHERE look_at <= now() ORDER BY look_at LIMIT :limit
        FOR UPDATE SKIP LOCKED) due JOIN uoop_orders o ON o.id = due.order_id
    WHERE w.order_id = due.order_id
    RETURNING o.id AS order_id, o.status, o.partner, o.version, o.eta, o.updated_at,
        o.rerouting IS NOT NULL AS rerouting, now() AS now
""")
_END = text("DELETE FROM delivery_watch WHERE order_id = ANY(:ids)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """
    An order of whose delivery nothing was reported in time.

    :param given_up: it is so late that a partner who does not answer either counts as silent
    """

    order_id: str
    status: Status
    partner: str
    version: int
    given_up: bool

    @property
    def may_be_rerouted(self) -> bool:
        return self.status in BEFORE_PICKUP


def begin(
    connection: Connection, promised: Sequence[tuple[str, str, datetime]], silence_s: Mapping[str, float]
) -> None:
    """
    Watch what was promised (order, partner, ETA) of partners who report.

    :param silence_s: who they are, and how long after the ETA they may be silent
    """
    looks = [
        {"order_id": order_id, "look_at": eta + timedelta(seconds=silence_s[partner])}
        for order_id, partner, eta in promised
        if partner in silence_s
    ]
    if looks:
        connection.execute(_BEGIN, {"rows": rows(looks)})


def take(
    connection: Connection, silence_s: Mapping[str, float], *, limit: int = LOOKS_AT_ONCE
) -> list[Overdue]:
    """Those that are overdue now; each is looked at again after a minute, unless it has ended."""
    found = connection.execute(_TAKE, {"again_after": AGAIN_AFTER, "limit": limit}).all()
    ended = [
        row.order_id for row in found if row.partner not in silence_s or not MOVES.get(Status(row.status))
    ]
    overdue, later = [], []
    for row in found:
        if row.order_id in ended or row.rerouting:
            continue
        silence = timedelta(seconds=silence_s[row.partner])
        if row.updated_at + silence > row.now:
            later.append((row.order_id, row.partner, row.updated_at))
            continue
        overdue.append(
            Overdue(
                order_id=row.order_id,
                status=Status(row.status),
                partner=row.partner,
                version=row.version,
                given_up=max(row.eta, row.updated_at) + 2 * silence <= row.now,
            )
        )
    connection.execute(_END, {"ids": ended})
    begin(connection, later, silence_s)
    return overdue


def report_on(overdue: Overdue, answer: Answer | None, *, at: datetime) -> Report | None:
    """
    What is to be made of it, when the partner was asked; None is nothing yet.

    :param answer: None when he was not asked, since the meal is with his courier, or stands nowhere by our books
    """
    if answer and answer.verdict is Verdict.DONE and _news(overdue, answer.state):
        return _by_partner(overdue, str(answer.state), at)
    if answer and answer.verdict in (Verdict.UNDONE, Verdict.UNKNOWN):
        return _by_partner(overdue, Reported.GIVEN_BACK, at)
    if answer and answer.verdict is not Verdict.DONE and not overdue.given_up:
        return None
    return Report(
        reporter=Reporter.PLATFORM,
        by="uoop",
        event_id=f"silent:{overdue.order_id}:{overdue.version}",
        order=overdue.order_id,
        what=Reported.SILENT,
        at=at,
        details={"version": overdue.version, "partner": overdue.partner},
    )


def _news(overdue: Overdue, state: str | None) -> bool:
    return state in MOVES[overdue.status]


def _by_partner(overdue: Overdue, what: str, at: datetime) -> Report:
    return Report(
        reporter=Reporter.PARTNER,
        by=overdue.partner,
        event_id=f"asked:{overdue.order_id}:{overdue.version}:{what}",
        order=overdue.order_id,
        what=what,
        at=at,
        details={"asked": True},
    )
