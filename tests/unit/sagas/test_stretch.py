"""What is known of a cohort's members behind a step that all have got through."""

from datetime import UTC, datetime

from app.runs.model import DONE, Cohort, Direction, Member, Outcome, Verdict
from sagas import stretch
from sagas.fulfill_order import FULFILL_ORDER
from sagas.stretch import Begun, Place

NOW = datetime(2030, 1, 1, tzinfo=UTC)
STAGES = {step.name: n for n, stage in enumerate(FULFILL_ORDER.stages) for step in stage.steps}
DISPATCHED = Outcome(Verdict.DONE, detail={"channel": "partner", "partner": "swift"})


def place(step: str) -> Place:
    return Place(7, 1, STAGES[step], FULFILL_ORDER.numbers[step])


def member(run_id: int, *, attempts: int = 0) -> Member:
    return Member(
        run_id=run_id,
        order_id=f"order-{run_id}",
        tenant_id="default",
        done=0,
        touched=0,
        undone=0,
        attempts=attempts,
        generation=1,
        not_after=NOW,
        failure=None,
        failing_since=NOW if attempts else None,
        given={"customer_id": "customer-1"},
    )


def begun(step: str, *members: Member) -> Begun:
    cohort = Cohort(
        7,
        1,
        FULFILL_ORDER.name,
        1,
        Direction.FORWARD,
        "front",
        (STAGES[step],),
        0,
        tuple(m.run_id for m in members),
        NOW,
    )
    return Begun(place(step), cohort, FULFILL_ORDER, "me", 1, [*members], [*members], {})


def test_what_a_step_has_told_is_given_to_the_one_that_uses_it() -> None:
    known = stretch.carried(
        begun("dispatch-to-partner", member(1)), {1: DISPATCHED}, [place("confirm-order")]
    )

    assert known is not None
    assert known[0].given == {"customer_id": "customer-1", "dispatch-to-partner": DISPATCHED.detail}


def test_what_an_earlier_cohort_was_told_must_be_read() -> None:
    two = begun("dispatch-to-partner", member(1), member(2))

    assert stretch.carried(two, {1: DISPATCHED}, [place("confirm-order")]) is None


def test_failures_are_those_of_the_stage_behind() -> None:
    known = stretch.carried(
        begun("confirm-order", member(1, attempts=3)), {1: DONE}, [place("capture-payment")]
    )

    assert known is not None
    assert (known[0].attempts, known[0].failing_since) == (0, None)
