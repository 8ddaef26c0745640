"""Money given back of what was captured, tried until it succeeds or a person must look; told as it is written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

from sqlalchemy import Connection

from app.payments import queries, service
from app.payments.queries import Account
from app.payments.service import Refund
from app.providers.port import Request, Resource
from app.runs import dispatched, follow_ups
from app.runs.model import Member, Outcomes, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import asking, capture_payment

NAME = "refund-payment"
READS = ("customer_id",)
NO_COMPENSATION = "money given back is the customer's"
_WITHIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Owed:
    """What a run gives back."""

    member: Member
    account: Account
    amount: Decimal


def refund(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Give back the amount that was asked for."""
    with ports.engine.begin() as connection:
        asked = follow_ups.asked(connection, [m.run_id for m in members])
        accounts = queries.accounts(connection, [m.order_id for m in members])
    owed = [Owed(m, accounts[m.order_id], Decimal(asked[m.run_id]["amount"])) for m in members]
    return give_back(ports, call, owed, step=NAME)


def give_back(ports: Ports, call: Call, owed: Sequence[Owed], *, step: str) -> Result:
    """
    Refund the amounts, each under the key of this step of its run.

    The provider has the last word on how much that may be: he adds up what was refunded of a capture.
    """
    with ports.engine.begin() as connection:
        made = dispatched.fulfilments(connection, [each.member.order_id for each in owed])
    until = datetime.now(UTC) + _WITHIN
    requests = {
        each.member.run_id: Request(
            asking.key(each.member, step),
            until,
            {
                "order": each.member.order_id,
                "capture": asking.key_of(
                    each.member.order_id,
                    capture_payment.NAME,
                    generation=made[each.member.order_id].generation,
                ),
                "customer": each.member.given["customer_id"],
                "amount": str(each.amount),
                "currency": each.account.currency,
            },
        )
        for each in owed
    }
    before = asking.tried_before([each.member for each in owed])
    answers = asking.do(ports.payment, Resource.REFUNDS, requests, call, asked_before=before)
    return Result(
        asking.outcomes(ports.payment, answers, refused="refund-refused"), partial(_record, tuple(owed))
    )


def _record(owed: Sequence[Owed], connection: Connection, outcomes: Outcomes) -> Outcomes:
    service.keep_refunds(
        connection,
        [
            Refund(
                run_id=each.member.run_id,
                order_id=each.member.order_id,
                amount=each.amount,
                remaining=each.account.remaining - each.amount,
            )
            for each in owed
            if outcomes[each.member.run_id].verdict is Verdict.DONE
        ],
    )
    return outcomes
