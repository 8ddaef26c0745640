"""The operators' route to give a customer money back."""

from decimal import Decimal
from typing import Annotated

import msgspec
from flask import Response, request
from flask_smorest import Blueprint
from msgspec import Meta

from app.orders.document import Amount
from sagas.wishes import Refunding, RefundWish
from web import authentication, instructions, paths, representations, submissions
from web.authentication import OPS
from web.description import refunds as described
from web.instructions import Operator, Reason
from web.services import Services


class RefundOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much is given back, in the order's currency, and why; without an amount all that is left."""

    reason: Reason
    amount: (
        Annotated[Amount, Meta(description="At most what was captured and not given back yet.")] | None
    ) = None
    operator: Operator | None = None


SCHEMAS = (RefundOrder, Refunding)


def blueprint(services: Services) -> Blueprint:
    """Bind the route to the services."""
    refunds = Blueprint("refunds", __name__, url_prefix="/v1/ops/orders", description="Give money back.")

    @refunds.route("/<tracking:order_id>/refund", methods=["POST"])
    @described.REFUND
    def refund(order_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        key = submissions.idempotency_key(request.environ.get("HTTP_IDEMPOTENCY_KEY"))
        wanted = instructions.read(RefundOrder)
        wish = RefundWish(
            amount=None if wanted.amount is None else Decimal(wanted.amount),
            key=key,
            who=instructions.who(caller, wanted.operator),
            why=wanted.reason,
        )
        return _refunding(services.runs.refund(caller.tenant_id, order_id, wish))

    return refunds


def _refunding(told: Refunding) -> Response:
    answer = representations.json(told, status=202)
    answer.headers["Location"] = paths.RUN.format(run_id=told.run_id)
    answer.headers["Retry-After"] = representations.RETRY_AFTER_S
    if told.replayed:
        answer.headers["Idempotency-Replayed"] = "true"
    return answer
