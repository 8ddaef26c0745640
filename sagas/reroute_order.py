"""Another partner for an order whose partner has given it back, or is silent."""

from app.runs.model import FOLLOW_UP
from sagas.definition import Queue, Saga, Step
from sagas.steps import dispatch_to_partner, plan_again, plan_fulfilment, recall_dispatch, tell_rerouted

REROUTE_ORDER = Saga.of(
    name="reroute-order",
    version=1,
    stages=(
        Step(
            recall_dispatch.NAME,
            recall_dispatch.recall,
            no_compensation=recall_dispatch.NO_COMPENSATION,
            queue=Queue.PARTNER,
            give_up_code="partner-not-heard",
        ),
        Step(
            plan_fulfilment.NAME,
            plan_again.plan_again,
            no_compensation=plan_again.NO_COMPENSATION,
            queue=Queue.OPTIMIZER,
            reads=plan_fulfilment.READS,
            give_up_code=plan_again.NOBODY_LEFT,
        ),
        Step(
            dispatch_to_partner.NAME,
            dispatch_to_partner.dispatch,
            no_compensation="past the recall the order must come to a partner",
            queue=Queue.PARTNER,
            reads=dispatch_to_partner.READS,
            uses=dispatch_to_partner.USES,
            give_up_code=plan_again.NOBODY_LEFT,
            in_doubt_code="partner-not-heard",
        ),
        Step(
            tell_rerouted.NAME,
            tell_rerouted.tell,
            no_compensation=tell_rerouted.NO_COMPENSATION,
            uses=tell_rerouted.USES,
            emits=True,
            unskippable="it tells the order and the world",
        ),
    ),
    pivot=recall_dispatch.NAME,
    on_undone=tell_rerouted.stays,
    lane=FOLLOW_UP,
    needs_hold=False,
    abandonable=True,
)
