"""Whether there is so much to give back: asked once more before anybody is told to."""

from collections.abc import Sequence
from decimal import Decimal

from app.payments import queries
from app.runs import follow_ups
from app.runs.model import DONE, Member, Outcome, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports

NAME = "check-refund"
NO_COMPENSATION = "it changes nothing"


def check(ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    """Reject what exceeds the rest of the capture."""
    with ports.engine.begin() as connection:
        asked = follow_ups.asked(connection, [m.run_id for m in members])
        accounts = queries.accounts(connection, [m.order_id for m in members])
    return Result(
        {
            m.run_id: DONE
            if Decimal(asked[m.run_id]["amount"]) <= accounts[m.order_id].remaining
            else Outcome(Verdict.REJECTED, "refund-exceeds")
            for m in members
        }
    )
