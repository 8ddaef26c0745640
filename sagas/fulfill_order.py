"""The main job: an accepted order becomes a confirmed dispatch."""

from sagas.definition import Priority, Queue, Retry, Saga, Step, parallel
from sagas.steps import (
    authorize_payment,
    capture_payment,
    confirm_order,
    dispatch_to_partner,
    place_with_restaurant,
    plan_fulfilment,
    reserve_capacity,
    validate_order,
)

FULFILL_ORDER = Saga.of(
    name="fulfill-order",
    version=1,
    stages=(
        Step(
            "validate-order",
            validate_order.validate,
            no_compensation=validate_order.NO_COMPENSATION,
            reads=validate_order.READS,
        ),
        parallel(
            Step(
                "reserve-capacity",
                reserve_capacity.reserve,
                reserve_capacity.release,
                reads=reserve_capacity.READS,
                unskippable="the pivot's gate asks for the place",
            ),
            Step(
                authorize_payment.NAME,
                authorize_payment.authorize,
                authorize_payment.void,
                queue=Queue.PARTNER,
                reads=authorize_payment.READS,
                unskippable="capture-payment takes what it has authorized",
            ),
        ),
        Step(
            plan_fulfilment.NAME,
            plan_fulfilment.plan,
            no_compensation=plan_fulfilment.NO_COMPENSATION,
            queue=Queue.OPTIMIZER,
            reads=plan_fulfilment.READS,
        ),
        Step(
            place_with_restaurant.NAME,
            place_with_restaurant.place,
            place_with_restaurant.withdraw,
            queue=Queue.PARTNER,
            reads=place_with_restaurant.READS,
        ),
        Step(
            dispatch_to_partner.NAME,
            dispatch_to_partner.dispatch,
            dispatch_to_partner.recall,
            queue=Queue.PARTNER,
            reads=dispatch_to_partner.READS,
            uses=dispatch_to_partner.USES,
            retry=Retry(attempts=30, total_s=120.0),  # longer than a breaker is open
        ),
        Step(
            confirm_order.NAME,
            confirm_order.confirm,
            no_compensation=confirm_order.NO_COMPENSATION,
            uses=confirm_order.USES,
            emits=True,
            priority=Priority.HIGH,
            unskippable="it tells the order and the world",
        ),
        Step(
            capture_payment.NAME,
            capture_payment.capture,
            no_compensation=capture_payment.NO_COMPENSATION,
            queue=Queue.PARTNER,
            reads=capture_payment.READS,
            retry=Retry(attempts=40, first_s=0.5, cap_s=60.0),
            give_up_code="money-owed",
        ),
    ),
    pivot=dispatch_to_partner.NAME,
    on_undone=confirm_order.undone,
)
