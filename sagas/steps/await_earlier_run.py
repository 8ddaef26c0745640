"""The end of what an earlier run still does for the order; then, whether there is anything left to cancel."""

from collections.abc import Sequence
from datetime import UTC, datetime

from app.orders.model import CANCELLABLE, Status
from app.runs import follow_ups
from app.runs.follow_ups import Before
from app.runs.model import DONE, Member, Outcome, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports

NAME = "await-earlier-run"
NO_COMPENSATION = "it only waits"
SOONEST_S, LATEST_S = 0.5, 15.0
_LOST = frozenset({Status.FAILED, Status.CANCELLED})


def await_earlier_run(ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    """Let through whose order is promised and acted upon by nobody else; the others come again."""
    now = datetime.now(UTC)
    with ports.engine.begin() as connection:
        found = follow_ups.before(connection, [member.run_id for member in members])
    return Result({member.run_id: _outcome(member, found[member.run_id], now) for member in members})


def _outcome(member: Member, found: Before, now: datetime) -> Outcome:
    if found.status in _LOST:
        return Outcome(Verdict.REJECTED, "order-ended-meanwhile")
    if found.status not in CANCELLABLE and found.status is not Status.PENDING:
        return Outcome(Verdict.REJECTED, "already-picked-up")
    if not found.under_way:
        return DONE
    waited_s = (now - member.created_at).total_seconds()
    return Outcome(Verdict.NOT_YET, "not-yet", due_in_s=min(LATEST_S, max(SOONEST_S, waited_s / 4)))
