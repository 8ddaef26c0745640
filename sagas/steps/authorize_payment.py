"""The customer's money, held but not taken."""

from collections.abc import Sequence

from app.providers.port import Request, Resource
from app.runs.model import Member
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import asking

NAME = "authorize-payment"
READS = ("customer_id", "total_amount", "currency")


def authorize(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Authorize each order's total."""
    requests = {
        m.run_id: Request(
            asking.key(m, NAME),
            m.not_after,
            {
                "order": m.order_id,
                "customer": m.given["customer_id"],
                "amount": str(m.given["total_amount"]),
                "currency": m.given["currency"],
            },
        )
        for m in members
    }
    answers = asking.do(
        ports.payment, Resource.AUTHORIZATIONS, requests, call, asked_before=asking.tried_before(members)
    )
    return Result(asking.outcomes(ports.payment, answers, refused="payment-refused"))


def void(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Give the held money free."""
    keys = {m.run_id: asking.key(m, NAME) for m in members}
    return Result(asking.undo(ports, ports.payment, Resource.AUTHORIZATIONS, keys, call, members))
