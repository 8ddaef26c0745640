"""The moment from which an order for a later window is worked on: its window less the lead."""

from collections.abc import Sequence
from datetime import UTC, datetime

from app.orders.model import LEAD
from app.runs.model import DONE, Member, Outcome, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports

NAME = "await-release"
READS = ("window_from",)
NO_COMPENSATION = "it only waits"


def await_release(_ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    """Let through whose time has come; the others come again then."""
    now = datetime.now(UTC)
    return Result({member.run_id: _outcome(member, now) for member in members})


def _outcome(member: Member, now: datetime) -> Outcome:
    at = member.given["window_from"]
    left_s = 0.0 if at is None else (at - LEAD - now).total_seconds()
    return DONE if left_s <= 0 else Outcome(Verdict.NOT_YET, "not-yet", due_in_s=left_s)
