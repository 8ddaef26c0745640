"""A promised order is cancelled by its partner's consent, or stays as it is; nothing between."""

from typing import Any

import pytest
from fake_providers import Mood
from test_operations import desk, do, far_off
from world import RANKING, World

from app.orders.model import Status
from app.runs import allowed
from app.runs.allowed import Act
from sagas.cancel_confirmed_order import CANCEL_CONFIRMED_ORDER

PARTNER = RANKING[0]


def fulfilled(world: World, *, fleet: bool = False, **changes: Any) -> str:
    if fleet:
        world.add_courier()
    (order,) = world.accept(**changes)
    world.settle()
    assert world.statuses()[order] == "CONFIRMED"
    return order


def cancel(world: World, order: str) -> int:
    """Wish it, and settle; the run that was begun for it."""
    told = do(world, Act.CANCEL, order)
    world.settle()
    return int(told.run_id)


def events(world: World) -> list[str]:
    return [row[0] for row in world.rows("SELECT type FROM outbox_in ORDER BY id")]


def undone(world: World, order: str) -> bool:
    """Whether nothing stands for it but what was paid, and that was given back."""
    money = {f"{order}:authorize-payment:0", f"{order}:capture-payment:0", f"{order}:return-money:1"}
    return (
        world.statuses()[order] == "CANCELLED"
        and set(world.standing()) == money
        and world.book.amounts[f"{order}:return-money:1"] == "2.750"
        and world.held_places() == 0
        and world.taken_slots() == 0
        and world.failures()[order] == {"code": "cancelled", "step": None, "compensated": True}
    )


@pytest.mark.parametrize("fleet", [False, True], ids=["partner", "own fleet"])
def test_what_the_partner_gives_back_is_undone_and_the_money_returned(world: World, fleet: bool) -> None:
    order = fulfilled(world, fleet=fleet)

    cancel(world, order)

    assert undone(world, order)
    assert events(world) == ["order.accepted", "order.confirmed", "order.refunded", "order.cancelled"]
    assert world.one("SELECT count(*) FROM runs WHERE state <> 'e' OR failure IS NOT NULL") == 0


@pytest.mark.parametrize("status", ["PREPARING", "READY_FOR_PICKUP"])
def test_until_the_courier_has_it_an_order_can_be_cancelled(world: World, status: str) -> None:
    order = fulfilled(world)
    world.sql("UPDATE uoop_orders SET status = :status", status=status)

    cancel(world, order)

    assert undone(world, order)


def test_a_partner_who_keeps_it_leaves_everything_as_it_was(world: World) -> None:
    order = fulfilled(world)
    before = (world.standing(), world.held_places(), world.statuses())
    world.partners[PARTNER].behave(Mood.REFUSE, op="undo")

    run = cancel(world, order)

    assert (world.standing(), world.held_places(), world.statuses()) == before
    assert world.rows(
        "SELECT type, data ->> 'code', data ->> 'status' FROM outbox_in ORDER BY id DESC LIMIT 1"
    ) == [("order.cancellation-refused", "partner-keeps-order", "CONFIRMED")]
    assert world.rows("SELECT state, failure ->> 'code' FROM runs WHERE id = :id", id=run) == [
        ("e", "partner-keeps-order")
    ]


def test_after_a_refusal_it_can_be_asked_again(world: World) -> None:
    order = fulfilled(world)
    world.partners[PARTNER].behave(Mood.REFUSE, op="undo", times=1)
    cancel(world, order)

    cancel(world, order)

    assert world.statuses() == {order: "CANCELLED"}
    assert world.book.amounts[f"{order}:return-money:2"] == "2.750"


def test_twice_is_once(world: World) -> None:
    order = fulfilled(world)

    first, second = do(world, Act.CANCEL, order), do(world, Act.CANCEL, order)
    world.settle()

    assert first.run_id == second.run_id
    assert undone(world, order)
    with pytest.raises(allowed.RunEnded):
        do(world, Act.CANCEL, order)


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        ("PICKED_UP", allowed.PastPivot),
        ("IN_TRANSIT", allowed.PastPivot),
        ("DELIVERED", allowed.RunEnded),
        ("FAILED", allowed.RunEnded),
        ("CANCELLED", allowed.RunEnded),
    ],
)
def test_what_the_courier_has_or_had_is_not_cancelled(
    world: World, status: str, refusal: type[Exception]
) -> None:
    order = fulfilled(world)
    world.sql("UPDATE uoop_orders SET status = :status", status=status)

    with pytest.raises(refusal):
        do(world, Act.CANCEL, order)

    assert world.one("SELECT count(*) FROM follow_ups") == 0


def test_a_wish_during_the_capture_waits_for_its_end(world: World) -> None:
    (order,) = world.accept()
    world.payment.behave(Mood.UNAVAILABLE, resource="captures", times=1)
    world.walk(world.claim_one())
    far_off(world)

    do(world, Act.CANCEL, order)
    world.walk(world.claim_one())
    waits = world.rows("SELECT saga, state, due_at > now() FROM runs ORDER BY id")
    standing = world.standing()
    world.settle()

    assert waits == [("fulfill-order", "w", True), (CANCEL_CONFIRMED_ORDER.name, "w", True)]
    assert f"{order}:dispatch-to-partner:{PARTNER}:0" in standing
    assert undone(world, order)


def test_a_wish_past_the_gate_of_an_order_that_then_fails_is_fulfilled_by_its_failure(world: World) -> None:
    (order,) = world.accept()
    for partner in world.partners.values():
        partner.behave(Mood.SILENT, times=1)
        partner.behave(Mood.REFUSE)
    world.walk(world.claim_one())
    far_off(world)

    cancel(world, order)

    assert world.statuses() == {order: "FAILED"}
    assert (world.standing(), world.held_places()) == ([], 0)
    assert events(world) == ["order.accepted", "order.failed"]


def test_what_was_picked_up_meanwhile_is_not_recalled(world: World) -> None:
    order = fulfilled(world)
    do(world, Act.CANCEL, order)
    world.sql("UPDATE uoop_orders SET status = 'PICKED_UP'")

    world.settle()

    assert world.one("SELECT data ->> 'code' FROM outbox_in ORDER BY id DESC LIMIT 1") == "already-picked-up"
    assert not [call for call in world.partners[PARTNER].calls if call[0] == "undo"]


def test_a_wish_that_waits_too_long_is_given_up(world: World) -> None:
    (order,) = world.accept()
    world.payment.behave(Mood.REFUSE, resource="captures")
    world.settle()
    do(world, Act.CANCEL, order)
    world.sql("UPDATE runs SET not_after = now() WHERE state = 'w'")

    world.settle()

    assert world.statuses() == {order: "CONFIRMED"}
    assert world.one("SELECT data ->> 'code' FROM outbox_in ORDER BY id DESC LIMIT 1") == "expired"


@pytest.mark.parametrize("mood", [Mood.LOSE_ANSWER, Mood.SILENT, Mood.UNAVAILABLE], ids=lambda m: m.name)
@pytest.mark.parametrize("who", ["partner", "kitchen", "payment"])
def test_a_lost_answer_is_asked_for_until_it_is_heard(world: World, mood: Mood, who: str) -> None:
    order = fulfilled(world)
    provider = {"partner": world.partners[PARTNER], "kitchen": world.kitchens, "payment": world.payment}[who]
    provider.behave(mood, op="do" if who == "payment" else "undo", times=3)

    cancel(world, order)

    assert undone(world, order)
    assert len(world.book.effects) == 4 + 3
    assert world.one("SELECT count(*) FROM refunds") == 1


def test_a_partner_never_heard_of_again_leaves_the_recall_in_doubt_for_a_person(world: World) -> None:
    order = fulfilled(world)
    world.partners[PARTNER].behave(Mood.LOSE_ANSWER, op="undo")

    run = cancel(world, order)
    parked = world.rows("SELECT state, failure ->> 'code' FROM runs WHERE id = :id", id=run)
    with pytest.raises(allowed.PastPivot):
        do(world, Act.COMPENSATE, order)
    world.partners[PARTNER].recover()
    do(world, Act.RETRY, order)
    world.settle()

    assert parked == [("p", "recall-in-doubt")]
    assert "order.cancellation-refused" not in events(world)
    assert undone(world, order)


def test_who_may_have_recalled_passes_the_gate_again_when_his_time_is_over(world: World) -> None:
    order = fulfilled(world)
    do(world, Act.CANCEL, order)
    world.partners[PARTNER].behave(Mood.LOSE_ANSWER, op="undo", times=1)
    world.walk(world.claim_one())
    world.sql("UPDATE runs SET not_after = now() - interval '1 s', cancel_requested = true")

    world.settle()

    assert undone(world, order)


def test_money_that_cannot_be_returned_waits_for_a_person_and_all_else_is_done(world: World) -> None:
    order = fulfilled(world)
    world.payment.behave(Mood.REFUSE, resource="refunds")

    run = cancel(world, order)
    parked = world.rows("SELECT state, failure ->> 'code' FROM runs WHERE id = :id", id=run)
    standing, held = world.standing(), world.held_places()
    (group,) = desk(world).parked("default")
    world.payment.recover()
    do(world, Act.RETRY, order)
    world.settle()

    assert parked == [("p", "refund-owed")]
    assert (sorted(standing), held) == ([f"{order}:authorize-payment:0", f"{order}:capture-payment:0"], 0)
    assert [(m.currency, m.held, m.owed) for m in group.money] == [("BHD", "0", "2.750")]
    assert undone(world, order)


def test_only_what_was_not_refunded_before_is_returned(world: World) -> None:
    order = fulfilled(world)
    world.refund(order, "1.000")

    cancel(world, order)

    assert world.book.amounts[f"{order}:return-money:2"] == "1.750"
    assert world.rows("SELECT sum(amount)::text FROM refunds") == [("2.750",)]


def test_nothing_is_returned_twice(world: World) -> None:
    order = fulfilled(world)
    world.refund(order, "2.750")

    cancel(world, order)

    assert world.statuses() == {order: "CANCELLED"}
    assert len(world.book.standing("refunds")) == 1


def test_what_was_never_captured_is_set_free(world: World) -> None:
    (order,) = world.accept()
    world.payment.behave(Mood.LOSE_ANSWER, resource="captures")
    world.payment.behave(Mood.SILENT, op="find")
    world.settle()
    do(world, Act.SKIP, order)
    world.payment.recover()
    world.settle()

    cancel(world, order)

    assert world.statuses() == {order: "CANCELLED"}
    assert world.standing() == []
    assert world.one("SELECT count(*) FROM refunds") == 0


@pytest.mark.parametrize("step", CANCEL_CONFIRMED_ORDER.steps, ids=lambda step: step.name)
def test_a_carrier_that_dies_before_any_step_changes_nothing(world: World, step: Any) -> None:
    order = fulfilled(world)
    do(world, Act.CANCEL, order)
    world.walk(world.claim_one(), until=step.name)

    world.settle()

    assert undone(world, order)
    assert len(world.book.effects) == 4 + 3


def test_before_the_partner_is_asked_the_wish_is_taken_back_by_its_run_id(world: World) -> None:
    order = fulfilled(world)
    told = do(world, Act.CANCEL, order)

    do(world, Act.CANCEL, told.run_id)
    world.settle()

    assert world.statuses() == {order: "CONFIRMED"}
    assert events(world)[-1] == "order.cancellation-refused"


@pytest.mark.parametrize("act", [Act.CANCEL, Act.COMPENSATE, Act.TERMINATE])
def test_after_the_partner_consented_it_only_goes_forward(world: World, act: Act) -> None:
    order = fulfilled(world)
    world.kitchens.behave(Mood.REFUSE, op="undo")
    run = cancel(world, order)

    with pytest.raises(allowed.PastPivot):
        do(world, act, str(run), confirm=True)
    do(world, Act.SKIP, str(run), step="withdraw-placement")
    world.settle()

    assert world.statuses() == {order: "CANCELLED"}


def test_a_dry_run_begins_nothing(world: World) -> None:
    order = fulfilled(world)
    before = world.everything()

    told = do(world, Act.CANCEL, order, dry_run=True)

    assert (told.dry_run, told.after["saga"]) == (True, CANCEL_CONFIRMED_ORDER.name)
    assert world.everything() == before


def test_the_act_is_kept_with_the_run_that_it_began(world: World) -> None:
    order = fulfilled(world)

    run = cancel(world, order)

    (act,) = desk(world).story("default", str(run)).acts
    assert (act.act, act.who, act.why) == ("cancel", "tests", "because")
    assert desk(world).story("default", order).run.run_id == str(run)


def test_many_are_cancelled_in_one_cohort_whoever_has_them(world: World) -> None:
    orders = world.accept(6)
    for n, order in enumerate(orders):
        for partner in RANKING[: n % 3]:
            world.partners[partner].behave(Mood.REFUSE, orders=[order])
    world.settle()
    for order in orders:
        do(world, Act.CANCEL, order)
    world.partners[RANKING[1]].behave(Mood.REFUSE, op="undo", orders=[orders[1]])

    world.settle()

    assert [world.statuses()[order] for order in orders] == [
        Status.CANCELLED if n != 1 else Status.CONFIRMED for n in range(6)
    ]
    assert world.book.most_dispatches() == 1
