"""A promised order is cancelled, if who has its delivery gives it back; from then on everything is taken back."""

from app.runs.model import FOLLOW_UP
from sagas.definition import Queue, Retry, Saga, Step, parallel
from sagas.steps import (
    await_earlier_run,
    recall_dispatch,
    release_capacity,
    return_money,
    tell_cancelled,
    withdraw_placement,
)

_PATIENT = Retry(attempts=40, first_s=0.5, cap_s=60.0)

CANCEL_CONFIRMED_ORDER = Saga.of(
    name="cancel-confirmed-order",
    version=1,
    stages=(
        Step(
            await_earlier_run.NAME,
            await_earlier_run.await_earlier_run,
            no_compensation=await_earlier_run.NO_COMPENSATION,
            unskippable="two runs would act on one order",
        ),
        Step(
            recall_dispatch.NAME,
            recall_dispatch.recall,
            no_compensation=recall_dispatch.NO_COMPENSATION,
            queue=Queue.PARTNER,
            retry=_PATIENT,
            give_up_code="recall-in-doubt",
        ),
        parallel(
            Step(
                withdraw_placement.NAME,
                withdraw_placement.withdraw,
                no_compensation=withdraw_placement.NO_COMPENSATION,
                queue=Queue.PARTNER,
                retry=_PATIENT,
                give_up_code="placement-stands",
            ),
            Step(
                release_capacity.NAME,
                release_capacity.release,
                no_compensation=release_capacity.NO_COMPENSATION,
                retry=_PATIENT,
                unskippable="the kitchen's place would be kept for nobody",
            ),
            Step(
                return_money.NAME,
                return_money.give_back,
                no_compensation=return_money.NO_COMPENSATION,
                queue=Queue.PARTNER,
                reads=return_money.READS,
                retry=_PATIENT,
                emits=True,
                give_up_code="refund-owed",
            ),
        ),
        Step(
            tell_cancelled.NAME,
            tell_cancelled.tell,
            no_compensation=tell_cancelled.NO_COMPENSATION,
            emits=True,
            unskippable="it tells the order and the world",
        ),
    ),
    pivot=recall_dispatch.NAME,
    on_undone=tell_cancelled.refused,
    lane=FOLLOW_UP,
    needs_hold=False,
)
