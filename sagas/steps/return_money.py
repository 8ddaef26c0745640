"""All of the customer's money that is still here: refunded if it was taken, set free if it was only held."""

from collections.abc import Sequence

from app.payments import queries
from app.providers.port import Resource
from app.runs import dispatched
from app.runs.model import DONE, Member, Outcome, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import asking, authorize_payment, capture_payment, refund_payment
from sagas.steps.refund_payment import Owed

NAME = "return-money"
READS = refund_payment.READS
NO_COMPENSATION = refund_payment.NO_COMPENSATION


def give_back(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Refund what is left of a capture, or see to it that there is none and void the authorization."""
    with ports.engine.begin() as connection:
        accounts = queries.accounts(connection, [m.order_id for m in members])
    owed = [
        Owed(m, account, account.remaining) for m in members if (account := accounts[m.order_id]).remaining
    ]
    outcomes: dict[int, Outcome] = {m.run_id: DONE for m in members}
    outcomes |= _set_free(ports, call, [m for m in members if not accounts[m.order_id].captured])
    refunded = refund_payment.give_back(ports, call, owed, step=NAME) if owed else Result({})
    outcomes.update(refunded.outcomes)
    return Result(outcomes, refunded.record)


def _set_free(ports: Ports, call: Call, members: Sequence[Member]) -> dict[int, Outcome]:
    """By our books nothing was taken: a capture whose answer was lost, or that comes late, is taken back first."""
    outcomes: dict[int, Outcome] = {}
    left = list(members)
    with ports.engine.begin() as connection:
        made = dispatched.fulfilments(connection, [m.order_id for m in left])
    for resource, step in (
        (Resource.CAPTURES, capture_payment.NAME),
        (Resource.AUTHORIZATIONS, authorize_payment.NAME),
    ):
        keys = {
            m.run_id: asking.key_of(m.order_id, step, generation=made[m.order_id].generation) for m in left
        }
        outcomes |= asking.take_back(ports.payment, resource, keys, call, refused="refund-refused")
        left = [m for m in left if outcomes[m.run_id].verdict is Verdict.DONE]
    return outcomes
