"""
What is wished of orders that are past undoing: to be cancelled by consent, or money to be given back.

Each is decided on the locked order and begins a run of its own there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from app import errors
from app.orders.currencies import EXPONENTS
from app.orders.model import CANCELLABLE, KeyReused, OrderNotFound, Status
from app.payments import queries as payments
from app.runs import allowed, follow_ups
from app.runs.follow_ups import Begun, FollowUp, Present, RunUnderWay
from app.runs.model import RunState
from sagas.cancel_confirmed_order import CANCEL_CONFIRMED_ORDER
from sagas.refund_order import REFUND_ORDER

CANCEL_WITHIN = timedelta(hours=1)
REFUND_WITHIN = timedelta(days=1)
_WITH_THE_COURIER = frozenset({Status.PICKED_UP, Status.IN_TRANSIT})


class NotCaptured(errors.Conflict):
    """Nothing has been taken of this order's money."""

    code = "not-captured"


class RefundExceeds(errors.Conflict):
    """More than is left of what was taken cannot be given back."""

    code = "refund-exceeds"


class InvalidAmount(errors.Rejected):
    """The amount is not one of the order's currency."""

    code = "invalid-amount"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWish:
    """
    Who wants how much given back, and why.

    :param amount: in the order's currency; None is all that is left
    :param key: the asker's own, by which a repetition is known among the order's refunds
    """

    amount: Decimal | None
    key: str
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunding:
    """A refund that is under way, or has been. `remaining`: what can be given back beside it."""

    tracking_id: str
    run_id: str
    amount: str
    currency: str
    remaining: str
    replayed: bool = False


def cancel(
    connection: Connection, order_ids: Sequence[str], *, who: str, why: str
) -> dict[str, Begun | errors.UoopError]:
    """
    Let the orders be cancelled, if those who deliver them consent; twice is once.

    What a run still does for the order comes first: the new run waits for it.
    """
    answers: dict[str, Begun | errors.UoopError] = {}
    for order_id, present in follow_ups.lock(connection, order_ids).items():
        if present.saga == CANCEL_CONFIRMED_ORDER.name and present.state is not RunState.ENDED:
            answers[order_id] = Begun(order_id, present.run_id)
        elif refusal := _not_to_be_cancelled(present):
            answers[order_id] = refusal
    wishes = [
        FollowUp(
            order_id=order_id,
            asked={"act": "cancel", "who": who, "why": why},
            within=CANCEL_WITHIN,
            waits=True,
        )
        for order_id in sorted(set(order_ids) - answers.keys())
    ]
    begun = follow_ups.begin(connection, CANCEL_CONFIRMED_ORDER.name, CANCEL_CONFIRMED_ORDER.version, wishes)
    return answers | {wish.order_id: answer for wish, answer in zip(wishes, begun, strict=True)}


def refund(connection: Connection, tenant_id: str, order_id: str, wish: RefundWish) -> Refunding:
    """
    Begin to give money back.

    :raises OrderNotFound, KeyReused, RunUnderWay, NotCaptured, InvalidAmount, RefundExceeds:
    """
    present = follow_ups.lock(connection, [order_id]).get(order_id)
    if present is None or present.tenant_id != tenant_id:
        raise OrderNotFound()
    account = payments.accounts(connection, [order_id])[order_id]
    earlier = follow_ups.with_key(connection, order_id, wish.key)
    if earlier:
        run_id, asked = earlier
        if asked["wanted"] != _told(wish.amount):
            raise KeyReused(detail="The key was used for another refund of this order.")
        return _refunding(order_id, run_id, asked["amount"], account, replayed=True)
    if present.state is not RunState.ENDED:
        raise RunUnderWay(detail="Come again when its present run has ended.", retry_after_s=1)
    amount = _allowed_amount(wish.amount, account)
    asked = {
        "act": "refund",
        "amount": _told(amount),
        "wanted": _told(wish.amount),
        "key": wish.key,
        "who": wish.who,
        "why": wish.why,
    }
    follow_up = FollowUp(order_id=order_id, asked=asked, within=REFUND_WITHIN)
    (begun,) = follow_ups.begin(connection, REFUND_ORDER.name, REFUND_ORDER.version, [follow_up])
    if isinstance(begun, RunUnderWay):
        raise begun
    return _refunding(order_id, begun.run_id, asked["amount"], account, replayed=False)


def _not_to_be_cancelled(present: Present) -> errors.UoopError | None:
    if present.status in CANCELLABLE or (present.status is Status.PENDING and present.gated):
        return None
    if present.status is Status.PENDING:
        return RunUnderWay(detail="Its run moves just now: ask again.", retry_after_s=1)
    if present.status in _WITH_THE_COURIER:
        return allowed.PastPivot(detail="The courier has it.")
    return allowed.RunEnded(detail=f"Its order is {present.status}.")


def _allowed_amount(wanted: Decimal | None, account: payments.Account) -> Decimal:
    if not account.captured:
        raise NotCaptured(detail="By our books no payment was captured, or it is no longer kept.")
    amount = account.remaining if wanted is None else wanted
    exponent = EXPONENTS[account.currency]
    if wanted is not None and (wanted <= 0 or wanted != round(wanted, exponent)):
        raise InvalidAmount(
            detail=f"An amount in {account.currency} is above 0 and has {exponent} decimals at most."
        )
    if not 0 < amount <= account.remaining:
        raise RefundExceeds(detail=f"{account.remaining:f} {account.currency} are left to give back.")
    return amount


def _refunding(
    order_id: str, run_id: int, amount: str, account: payments.Account, *, replayed: bool
) -> Refunding:
    left = account.remaining if replayed else account.remaining - Decimal(amount)
    return Refunding(
        tracking_id=order_id,
        run_id=str(run_id),
        amount=amount,
        currency=account.currency,
        remaining=f"{left:f}",
        replayed=replayed,
    )


def _told(amount: Decimal | None) -> Any:
    return None if amount is None else f"{amount:f}"
