"""What the description says of giving money back."""

from flask_smorest import Blueprint

from web.description import run_examples as examples
from web.description.operations import IDEMPOTENCY_KEY, answer, problems_of
from web.description.runs import SECURITY, WRITING, body

_KEY = {
    **IDEMPOTENCY_KEY,
    "description": "Your own key for this refund of this order: a retry with the same key is no second refund.",
}
REFUND = Blueprint.doc(
    operationId="refundOrder",
    summary="Give money back",
    description="All that was captured and not given back yet, or a part of it, with a key of scope ops. "
    "The order stays as it is; event order.refunded tells when it is done.",
    security=SECURITY,
    parameters=[_KEY],
    requestBody=body("RefundOrder", examples.REFUND),
    responses={
        "202": answer(
            "It is under way, as a run of its own.",
            "Refunding",
            examples.REFUNDING,
            ["Location", "Retry-After", "Idempotency-Replayed"],
        ),
        **problems_of(
            "idempotency-key-missing",
            "idempotency-key-malformed",
            "idempotency-key-reused",
            "order-not-found",
            "no-such-path",
            "run-under-way",
            "not-captured",
            "refund-exceeds",
            "invalid-amount",
            *WRITING,
        ),
    },
)
