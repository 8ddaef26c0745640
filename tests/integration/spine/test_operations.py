"""What operators do to runs, each act legal, illegal and twice, and where the run comes to afterwards."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redis
from fake_providers import Mood
from sqlalchemy import Engine as Database
from sqlalchemy import text
from test_saga import name, saying, undo_fails_after_refused_dispatch, with_step
from together import all_at_once
from world import FULFILL_ORDER, STAGES, World, sagas_with

from app import errors
from app.runs import allowed
from app.runs.acts import RunNotFound
from app.runs.allowed import Act
from app.runs.model import Member, Verdict
from app.runs.views import Acted, RunFilter, State
from sagas.definition import Action, Call, Result, Saga, Step
from sagas.operations import Instruction, NotConfirmed, Operations, StepMissing, UnknownStep
from sagas.ports import Ports

BY_NAME = {step.name: step for step in FULFILL_ORDER.steps}
BEFORE_PIVOT = [step for step in FULFILL_ORDER.steps if STAGES[step.name] < FULFILL_ORDER.pivot_stage]


def desk(world: World, saga: Saga = FULFILL_ORDER) -> Operations:
    return Operations(world.db, sagas_with(saga), world.doorbell)


def do(world: World, act: Act, run: str, *, tenant: str = "default", **more: Any) -> Acted:
    return desk(world).act(tenant, run, Instruction(act=act, who="tests", why="because", **more))


def raising(action: Action, *, after: bool) -> Action:
    """A step that breaks, before it does anything or afterwards."""

    def broken(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
        if after:
            action(ports, call, members)
        raise ValueError("made up")

    return broken


def parked_at(db: Database, client: "redis.Redis[bytes]", step: str, *, after: bool) -> tuple[World, str]:
    """A world with one order, parked since this step raised; the step is mended now."""
    broken = replace(BY_NAME[step], action=raising(BY_NAME[step].action, after=after))
    world = World.made(db, client, saga=with_step(broken))
    (order,) = world.accept()
    world.settle()
    assert world.states() == {order: "p"}
    world.engine = world.another_engine()
    return world, order


def parked_undoing(db: Database, client: "redis.Redis[bytes]") -> tuple[World, str]:
    """A world with one order, parked since its payment could not be voided; the provider is mended now."""
    saga = undo_fails_after_refused_dispatch(
        BY_NAME["authorize-payment"], Verdict.REJECTED, acts=False, times=99
    )
    world = World.made(db, client, saga=saga)
    (order,) = world.accept()
    world.settle()
    assert world.states() == {order: "p"}
    world.engine = world.another_engine()
    return world, order


def waiting_at_kitchen(world: World) -> str:
    """An order that waits for its next attempt, its payment authorized and a place held."""
    (order,) = world.accept()
    world.kitchens.behave(Mood.UNAVAILABLE)
    world.walk(world.claim_one())
    assert world.states() == {order: "w"}
    far_off(world)
    return order


def far_off(world: World) -> None:
    """By chance a retry may be due at once; here it is not."""
    world.sql("UPDATE runs SET due_at = now() + interval '1 h' WHERE state = 'w' AND direction = 'f'")


def nets_out(world: World, order: str) -> bool:
    return world.standing() == [] and world.held_places() == 0 and world.taken_slots() == 0


def confirmed(world: World, order: str) -> bool:
    return (
        world.statuses()[order] == "CONFIRMED"
        and world.states()[order] == "e"
        and len(world.standing()) == 4
        and world.book.most_dispatches() == 1
        and world.one("SELECT failure IS NULL FROM runs")
    )


def acts_written(world: World) -> list[Any]:
    return world.rows(
        "SELECT act, step, who, why, before ->> 'state', after ->> 'state' FROM ops_acts ORDER BY id"
    )


def test_retrying_a_waiting_run_makes_it_due_now(world: World) -> None:
    order = waiting_at_kitchen(world)
    world.kitchens.recover()
    assert world.claim() == []

    do(world, Act.RETRY, order)
    do(world, Act.RETRY, order)
    world.walk(world.claim_one())

    assert confirmed(world, order)
    assert acts_written(world) == [("retry", None, "tests", "because", "waiting", "waiting")] * 2


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("step", FULFILL_ORDER.steps, ids=name)
def test_retrying_a_parked_run_ends_as_if_nothing_had_happened(
    db: Database, client: "redis.Redis[bytes]", step: Step, after: bool
) -> None:
    world, order = parked_at(db, client, step.name, after=after)

    do(world, Act.RETRY, order)
    world.settle()

    assert confirmed(world, order)
    assert acts_written(world) == [("retry", None, "tests", "because", "parked", "waiting")]


def test_retrying_a_parked_undoing_undoes_the_rest(db: Database, client: "redis.Redis[bytes]") -> None:
    world, order = parked_undoing(db, client)

    do(world, Act.RETRY, order)
    world.settle()

    assert world.failures() == {order: {"code": "made-up", "step": FULFILL_ORDER.pivot, "compensated": True}}
    assert nets_out(world, order)


@pytest.mark.parametrize("again_from", ["dispatch-to-partner", "place-with-restaurant"])
def test_a_partner_who_was_asked_before_the_parking_is_still_remembered(
    db: Database, client: "redis.Redis[bytes]", again_from: str
) -> None:
    world, order = parked_at(db, client, "dispatch-to-partner", after=True)
    world.partners["dhow"].behave(Mood.UNAVAILABLE, times=1)

    do(world, Act.REDRIVE, order, step=again_from)
    world.settle()

    assert confirmed(world, order)


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("step", [*BEFORE_PIVOT, BY_NAME[FULFILL_ORDER.pivot]], ids=name)
def test_compensating_a_parked_run_undoes_everything(
    db: Database, client: "redis.Redis[bytes]", step: Step, after: bool
) -> None:
    world, order = parked_at(db, client, step.name, after=after)

    do(world, Act.COMPENSATE, order)
    world.settle()

    compensated = step is not FULFILL_ORDER.steps[0]
    failure = {"code": "raised-ValueError", "step": step.name, "compensated": compensated}
    assert world.failures() == {order: failure}
    assert world.statuses() == {order: "FAILED"}
    assert nets_out(world, order)
    with pytest.raises(allowed.RunEnded):
        do(world, Act.COMPENSATE, order)


def test_compensating_a_waiting_run_undoes_it_at_once(world: World) -> None:
    order = waiting_at_kitchen(world)

    do(world, Act.COMPENSATE, order)
    with pytest.raises(allowed.BeingUndone):
        do(world, Act.COMPENSATE, order)
    world.settle()

    failure = {"code": "undone-by-operator", "step": "place-with-restaurant", "compensated": True}
    assert world.failures() == {order: failure}
    assert nets_out(world, order)


def test_a_waiting_run_is_cancelled_at_once(world: World) -> None:
    order = waiting_at_kitchen(world)

    do(world, Act.CANCEL, order)
    world.settle()

    assert world.statuses() == {order: "CANCELLED"}
    assert nets_out(world, order)


def test_an_order_that_has_not_set_out_is_cancelled_in_one_transaction(world: World) -> None:
    (order,) = world.accept()

    do(world, Act.CANCEL, order)

    assert world.statuses() == {order: "CANCELLED"}
    assert world.rows("SELECT type FROM outbox_in ORDER BY id") == [("order.accepted",), ("order.cancelled",)]
    assert world.claim() == []


def test_a_travelling_run_is_cancelled_by_its_gate(world: World) -> None:
    (order,) = world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until="place-with-restaurant")

    before = world.everything()["cohorts"]
    do(world, Act.CANCEL, order)
    do(world, Act.CANCEL, order)
    assert world.everything()["cohorts"] == before
    assert world.states() == {order: "t"}
    world.walk(claimed, leg=3)
    world.settle()

    assert world.statuses() == {order: "CANCELLED"}
    assert nets_out(world, order)


def test_a_cancellation_committed_while_the_gate_waits_for_its_row_is_told_as_such(world: World) -> None:
    (order,) = world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until="dispatch-to-partner")

    with ThreadPoolExecutor(1) as beside:
        with world.db.begin() as cancelling:
            cancelling.execute(text("UPDATE runs SET cancel_requested = true"))
            walking = beside.submit(world.walk, claimed, leg=4)
            while not world.one("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                assert not walking.done()
        walking.result()
    world.settle()

    assert world.statuses() == {order: "CANCELLED"}
    assert nets_out(world, order)


@pytest.mark.parametrize("act", [Act.RETRY, Act.COMPENSATE, Act.SKIP, Act.REDRIVE, Act.TERMINATE])
def test_a_travelling_run_is_moved_by_its_cohort_only(world: World, act: Act) -> None:
    (order,) = world.accept()
    world.walk(world.claim_one(), until="place-with-restaurant")
    before = world.everything()

    with pytest.raises(allowed.RunTravelling):
        do(world, act, order, step="validate-order", confirm=True)

    assert world.everything() == before
    assert acts_written(world) == []


def test_past_the_gate_nothing_is_called_back(world: World) -> None:
    (order,) = world.accept()
    for partner in world.partners.values():
        partner.behave(Mood.SILENT, times=1)
    world.walk(world.claim_one())
    assert world.rows("SELECT state, gated FROM runs") == [("w", True)]

    with pytest.raises(allowed.PastPivot):
        do(world, Act.COMPENSATE, order)
    world.settle()

    assert confirmed(world, order)


@pytest.mark.parametrize("act", [act for act in Act if act is not Act.CANCEL])
@pytest.mark.parametrize("step", ["confirm-order", "capture-payment"])
def test_past_the_pivot_a_parked_run_only_goes_forward(
    db: Database, client: "redis.Redis[bytes]", act: Act, step: str
) -> None:
    world, order = parked_at(db, client, step, after=False)
    refused = {
        Act.COMPENSATE: allowed.PastPivot,
        Act.REDRIVE: allowed.PastPivot,
    }
    if step == "confirm-order":
        refused[Act.SKIP] = allowed.StepNeeded
    else:
        refused[Act.TERMINATE] = allowed.PastPivot

    if act in refused:
        with pytest.raises(refused[act]):
            do(world, act, order, step=step if act is Act.SKIP else FULFILL_ORDER.pivot, confirm=True)
        do(world, Act.RETRY, order)
        world.settle()
        assert confirmed(world, order)
    else:
        do(world, act, order, step=step, confirm=True)
        world.settle()
        assert world.states() == {order: "e"}


def test_a_parked_step_is_skipped(db: Database, client: "redis.Redis[bytes]") -> None:
    world, order = parked_at(db, client, "capture-payment", after=False)

    do(world, Act.SKIP, order)
    world.settle()

    assert world.statuses() == {order: "CONFIRMED"}
    assert world.rows("SELECT state, failure FROM runs") == [("e", None)]
    assert world.book.standing("captures") == []
    assert acts_written(world) == [("skip", "capture-payment", "tests", "because", "parked", "waiting")]


def test_a_skipped_step_that_may_have_acted_is_undone_when_the_order_fails(world: World) -> None:
    (order,) = world.accept()
    world.kitchens.behave(Mood.LOSE_ANSWER)
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE)
    world.walk(world.claim_one())

    do(world, Act.SKIP, order, step="place-with-restaurant")
    with_kitchen = world.book.standing("placements")
    world.kitchens.recover()
    world.settle()

    assert with_kitchen
    assert world.statuses() == {order: "FAILED"}
    assert nets_out(world, order)


@pytest.mark.parametrize(
    ("step", "refusal"),
    [
        ("validate-order", allowed.StepNotHere),
        ("dispatch-to-partner", allowed.StepNotHere),
        ("no-such-step", UnknownStep),
    ],
)
def test_only_the_step_where_the_run_stands_is_skipped(
    world: World, step: str, refusal: type[errors.UoopError]
) -> None:
    order = waiting_at_kitchen(world)

    with pytest.raises(refusal):
        do(world, Act.SKIP, order, step=step)

    assert acts_written(world) == []


@pytest.mark.parametrize(
    "step",
    ["reserve-capacity", "authorize-payment", "plan-fulfilment", "dispatch-to-partner", "confirm-order"],
)
def test_what_others_build_upon_is_not_skipped(db: Database, client: "redis.Redis[bytes]", step: str) -> None:
    world, order = parked_at(db, client, step, after=False)

    with pytest.raises(allowed.StepNeeded):
        do(world, Act.SKIP, order, step=step)


@pytest.mark.parametrize(
    "step",
    [step.name for step in FULFILL_ORDER.steps if STAGES[step.name] <= STAGES["place-with-restaurant"]],
)
def test_a_parked_run_is_driven_again_from_a_step(
    db: Database, client: "redis.Redis[bytes]", step: str
) -> None:
    world, order = parked_at(db, client, "place-with-restaurant", after=True)

    do(world, Act.REDRIVE, order, step=step)
    with pytest.raises(allowed.RunNotParked):
        do(world, Act.REDRIVE, order, step=step)
    world.settle()

    assert confirmed(world, order)


def test_a_plan_on_which_partners_were_asked_is_not_made_anew(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    world, order = parked_at(db, client, "dispatch-to-partner", after=True)

    with pytest.raises(allowed.StepBuiltUpon):
        do(world, Act.REDRIVE, order, step="plan-fulfilment")
    with pytest.raises(allowed.StepNotHere):
        do(world, Act.REDRIVE, order, step="capture-payment")
    with pytest.raises(StepMissing):
        do(world, Act.REDRIVE, order)


@pytest.mark.parametrize("act", [Act.SKIP, Act.REDRIVE, Act.COMPENSATE, Act.CANCEL])
def test_a_run_that_is_being_undone_does_not_turn_round(
    db: Database, client: "redis.Redis[bytes]", act: Act
) -> None:
    world, order = parked_undoing(db, client)

    with pytest.raises(allowed.BeingUndone):
        do(world, act, order, step="authorize-payment")


def test_terminating_leaves_everything_standing_and_tells_the_world(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    world, order = parked_undoing(db, client)
    standing = world.standing()

    with pytest.raises(NotConfirmed):
        do(world, Act.TERMINATE, order)
    do(world, Act.TERMINATE, order, confirm=True)
    with pytest.raises(allowed.RunEnded):
        do(world, Act.TERMINATE, order, confirm=True)
    world.settle()

    assert world.statuses() == {order: "FAILED"}
    assert world.failures()[order]["code"] == "terminated"
    assert world.failures()[order]["compensated"] is False
    assert world.standing() == standing != []
    assert world.one("SELECT type FROM outbox_in ORDER BY id DESC LIMIT 1") == "order.failed"
    assert desk(world).story("default", order).may_stand == ["reserve-capacity", "authorize-payment"]


@pytest.mark.parametrize("act", Act)
def test_another_tenants_run_is_not_there(world: World, act: Act) -> None:
    order = waiting_at_kitchen(world)

    with pytest.raises(RunNotFound):
        do(world, act, order, tenant="another", step="validate-order", confirm=True)
    with pytest.raises(RunNotFound):
        do(world, act, world.one("SELECT id::text FROM runs"), tenant="another", step="x", confirm=True)


@pytest.mark.parametrize("act", Act)
def test_a_dry_run_changes_nothing(db: Database, client: "redis.Redis[bytes]", act: Act) -> None:
    world, order = parked_at(db, client, "place-with-restaurant", after=False)
    before = world.everything()

    told = do(world, act, order, dry_run=True, confirm=True, step="place-with-restaurant")

    assert (told.dry_run, told.before["state"]) == (True, "parked")
    assert told.after != told.before
    assert world.everything() == before
    assert acts_written(world) == []


def test_cancelling_and_claiming_at_once_leave_one_order(world: World) -> None:
    orders = world.accept(12)

    all_at_once([*(lambda order=order: do(world, Act.CANCEL, order) for order in orders), world.engine.claim])
    world.walk_sent()
    world.settle()

    assert set(world.statuses().values()) == {"CANCELLED"}
    assert nets_out(world, orders[0])


def test_in_bulk_everything_that_may_be_touched_is_and_the_rest_says_why(world: World) -> None:
    parked = world.accept(3, customer_id="customer-2")
    world.kitchens.behave(Mood.SILENT, orders=parked, times=99)
    (ended,) = world.accept(customer_id="customer-2")
    world.accept()
    world.walk(world.claim_one())
    wanted = RunFilter(customer_id="customer-2")
    order = Instruction(act=Act.COMPENSATE, who="tests", why="because")

    tried = desk(world).act_on_all("default", wanted, replace(order, dry_run=True))
    untouched = acts_written(world)
    told = desk(world).act_on_all("default", wanted, order)
    world.settle()

    assert (tried.matched, tried.acted, untouched) == (4, 3, [])
    assert [(each.code, each.runs, each.sample) for each in tried.refused] == [("run-ended", 1, ended)]
    assert replace(told, dry_run=True) == tried
    assert [world.statuses()[each] for each in [*parked, ended]] == ["FAILED"] * 3 + ["CONFIRMED"]
    assert len(acts_written(world)) == 3


def test_bulk_goes_on_where_it_stopped_and_at_its_rate(world: World) -> None:
    world.accept(5)
    world.kitchens.behave(Mood.UNAVAILABLE)
    world.walk(world.claim_one())
    order = Instruction(act=Act.RETRY, who="tests", why="because")

    told = desk(world).act_on_all("default", RunFilter(state=State.WAITING), order, limit=4, rate_per_s=0.01)

    assert (told.matched, told.acted, told.more) == (4, 4, True)
    late = "SELECT count(*) FROM runs WHERE due_at > now() + interval '90 s'"
    assert world.one(late) == 3


def test_runs_are_found_by_what_is_known_of_them(world: World) -> None:
    (silent,) = world.accept(customer_id="c2", external_order_id="x-1")
    world.payment.behave(Mood.UNAVAILABLE, orders=[silent])
    (undoing,) = world.accept()
    world.kitchens.behave(Mood.REFUSE, orders=[undoing])
    world.payment.behave(Mood.UNAVAILABLE, op="undo", orders=[undoing])
    (ended,) = world.accept()
    world.walk(world.claim_one())
    far_off(world)
    world.walk(world.claim_one())
    (fresh,) = world.accept()

    def found(**wanted: Any) -> list[str]:
        return [run.tracking_id for run in desk(world).search("default", RunFilter(**wanted), None, 50).runs]

    assert found() == [fresh, ended, undoing, silent]
    assert found(tracking_id=ended) == found(state=State.ENDED) == found(partner="dhow") == [ended]
    assert found(customer_id="c2") == found(external_order_id="x-1") == [silent]
    assert found(step="authorize-payment") == [undoing, silent]
    assert found(step="validate-order") == [fresh]
    assert found(code="unavailable", state=State.WAITING) == [undoing, silent]
    assert found(code="restaurant-refused") == [undoing]
    assert found(saga="fulfill-order", older_than_s=0) != []
    assert found(older_than_s=3600) == found(saga="other") == []


def test_a_search_goes_on_where_it_stopped(world: World) -> None:
    orders = world.accept(5)

    seen, after = [], None
    for _ in range(3):
        page = desk(world).search("default", RunFilter(), after, 2)
        seen += [run.tracking_id for run in page.runs]
        after = page.next

    assert (seen, after) == (orders[::-1], None)
    assert desk(world).search("another", RunFilter(), None, 2).runs == []


def test_a_parked_runs_story_tells_what_broke_and_what_was_done(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    world, order = parked_at(db, client, "place-with-restaurant", after=False)
    stopped = desk(world).story("default", order)
    do(world, Act.RETRY, order)
    waits = desk(world).story("default", stopped.run.run_id)

    assert (stopped.run.state, stopped.run.step, stopped.run.code) == (
        "parked",
        "place-with-restaurant",
        "raised-ValueError",
    )
    assert "made up" in stopped.attempts[-1].detail["traceback"]
    assert stopped.may_stand == ["reserve-capacity", "authorize-payment", "place-with-restaurant"]
    assert stopped.next.what == "nothing until a person acts"
    assert (waits.next.step, waits.next.attempt, waits.next.attempts_at_most) == (
        "place-with-restaurant",
        1,
        8,
    )
    assert waits.next.at is not None
    assert [(act.act, act.who) for act in waits.acts] == [("retry", "tests")]


def test_parked_runs_are_told_in_groups_with_their_money(db: Database, client: "redis.Redis[bytes]") -> None:
    broken = replace(BY_NAME["place-with-restaurant"], action=saying(Verdict.POISONED, None, times=1_000))
    world = World.made(db, client, saga=with_step(broken))
    world.accept(2, total_amount="2.750")
    (last,) = world.accept(total_amount="5", currency="USD")
    world.settle()

    (group,) = desk(world).parked("default")

    assert (group.step, group.code, group.runs, group.sample) == ("place-with-restaurant", "made-up", 3, last)
    assert [(m.currency, m.held, m.in_doubt) for m in group.money] == [
        ("BHD", "5.500", "0"),
        ("USD", "5", "0"),
    ]
    assert group.holds == 3
    assert group.first_seen <= group.last_seen
    assert desk(world).parked("another") == []


def test_money_that_may_stand_is_told_apart(db: Database, client: "redis.Redis[bytes]") -> None:
    world, _ = parked_at(db, client, "authorize-payment", after=True)

    (group,) = desk(world).parked("default")

    assert [(m.held, m.in_doubt) for m in group.money] == [("0", "2.750")]
