"""The customer's money, taken: after the order is confirmed, tried until it succeeds or a person must look."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.payments.queries import CAPTURED
from app.providers.port import Request, Resource
from app.runs.model import Member, Outcome, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import asking, authorize_payment

NAME = "capture-payment"
READS = ("customer_id", "total_amount", "currency")
NO_COMPENSATION = "past the pivot the delivery goes on; money given back is a refund, a saga of its own"
_WITHIN = timedelta(days=1)
_CAPTURED = Outcome(Verdict.DONE, detail=CAPTURED)  # one for all: nothing of it is the order's own


def capture(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Capture what was authorized."""
    until = datetime.now(UTC) + _WITHIN
    requests = {
        m.run_id: Request(
            asking.key(m, NAME),
            until,
            {
                "order": m.order_id,
                "authorization": asking.key(m, authorize_payment.NAME),
                "customer": m.given["customer_id"],
                "amount": str(m.given["total_amount"]),
                "currency": m.given["currency"],
            },
        )
        for m in members
    }
    answers = asking.do(
        ports.payment, Resource.CAPTURES, requests, call, asked_before=asking.tried_before(members)
    )
    return Result(asking.outcomes(ports.payment, answers, refused="capture-refused", done=_CAPTURED))
