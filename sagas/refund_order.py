"""Money is given back to a customer, all of it or a part; the order stays as it is."""

from collections.abc import Mapping

from sqlalchemy import Connection

from app.runs.model import FOLLOW_UP
from sagas.definition import Queue, Retry, Saga, Step
from sagas.steps import check_refund, refund_payment


def _nobody_was_told(_connection: Connection, _failures: Mapping[int, Mapping[str, object]]) -> None:
    """The customer hears of a refund when it was given; who asked for it looks at its run."""


REFUND_ORDER = Saga.of(
    name="refund-order",
    version=1,
    stages=(
        Step(check_refund.NAME, check_refund.check, no_compensation=check_refund.NO_COMPENSATION),
        Step(
            refund_payment.NAME,
            refund_payment.refund,
            no_compensation=refund_payment.NO_COMPENSATION,
            queue=Queue.PARTNER,
            reads=refund_payment.READS,
            retry=Retry(attempts=40, first_s=0.5, cap_s=60.0),
            emits=True,
            give_up_code="refund-owed",
        ),
    ),
    pivot=check_refund.NAME,
    on_undone=_nobody_was_told,
    lane=FOLLOW_UP,
    needs_hold=False,
)
