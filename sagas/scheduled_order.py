"""
An order for a later window: its capacity is held at once, all else waits until it is released.

The steps are those of `fulfill-order`, but payment waits for the release too: money is held near the meal.
"""

from sagas.definition import Saga, Stage, Step
from sagas.fulfill_order import FULFILL_ORDER
from sagas.steps import authorize_payment, await_release, confirm_order

_STEP = {step.name: step for step in FULFILL_ORDER.steps}
_AFTER_PAYMENT = FULFILL_ORDER.stages[FULFILL_ORDER.stages.index(Stage((_STEP["plan-fulfilment"],))) :]

FULFILL_SCHEDULED_ORDER = Saga.of(
    name="fulfill-scheduled-order",
    version=1,
    stages=(
        _STEP["validate-order"],
        _STEP["reserve-capacity"],
        Step(
            await_release.NAME,
            await_release.await_release,
            no_compensation=await_release.NO_COMPENSATION,
            reads=await_release.READS,
        ),
        _STEP[authorize_payment.NAME],
        *_AFTER_PAYMENT,
    ),
    pivot=FULFILL_ORDER.pivot,
    on_undone=confirm_order.undone,
)
