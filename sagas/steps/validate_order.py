"""What can only be said when the order's turn has come."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.runs.model import DONE, Member, Outcome, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports

READS = ("window_from", "window_until")
FURTHEST = timedelta(days=14)  # well within the time for which runs are kept
NO_COMPENSATION = "it changes nothing"


def validate(_ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    """Reject orders whose time or window is over."""
    now = datetime.now(UTC)
    return Result({member.run_id: _outcome(member, now) for member in members})


def _outcome(member: Member, now: datetime) -> Outcome:
    if member.not_after <= now:
        return Outcome(Verdict.REJECTED, "expired")
    start, until = member.given["window_from"], member.given["window_until"]
    if start is not None and start > now + FURTHEST:
        return Outcome(Verdict.REJECTED, "window-too-far")
    if until is not None and until <= now:
        return Outcome(Verdict.REJECTED, "window-over")
    return DONE
