"""Money given back: never more than was taken, once, and told."""

from decimal import Decimal

import pytest
from fake_providers import Mood
from test_operations import desk, do, far_off
from together import at_once
from world import World

from app import errors
from app.orders.model import KeyReused, OrderNotFound
from app.runs import allowed
from app.runs.allowed import Act
from app.runs.follow_ups import RunUnderWay
from sagas.wishes import InvalidAmount, NotCaptured, RefundExceeds, Refunding, RefundWish


def fulfilled(world: World) -> str:
    (order,) = world.accept()
    world.settle()
    return order


def wish(world: World, order: str, amount: str | None, *, key: str, tenant: str = "default") -> Refunding:
    wanted = None if amount is None else Decimal(amount)
    return desk(world).refund(tenant, order, RefundWish(amount=wanted, key=key, who="tests", why="cold"))


def given_back(world: World) -> list[str]:
    """What really was, at the provider."""
    return [world.book.amounts[key] for key in world.book.standing("refunds")]


def test_a_part_is_given_back_and_told(world: World) -> None:
    order = fulfilled(world)

    told = wish(world, order, "1.000", key="k")
    world.settle()

    assert (told.amount, told.currency, told.remaining, told.replayed) == ("1.000", "BHD", "1.750", False)
    assert given_back(world) == ["1.000"]
    assert world.rows("SELECT type, data FROM outbox_in ORDER BY id DESC LIMIT 1") == [
        (
            "order.refunded",
            {"status": "CONFIRMED", "amount": "1.000", "currency": "BHD", "remaining": "1.750"},
        )
    ]
    assert world.statuses() == {order: "CONFIRMED"}


def test_without_an_amount_all_that_is_left_is_given_back(world: World) -> None:
    order = fulfilled(world)
    wish(world, order, "1", key="a")
    world.settle()

    wish(world, order, None, key="b")
    world.settle()

    assert given_back(world) == ["1", "1.750"]


@pytest.mark.parametrize(
    ("amount", "refusal"),
    [
        ("2.751", RefundExceeds),
        ("0", InvalidAmount),
        ("-1", InvalidAmount),
        ("0.0001", InvalidAmount),
    ],
)
def test_what_cannot_be_given_back_is_refused(
    world: World, amount: str, refusal: type[errors.UoopError]
) -> None:
    order = fulfilled(world)

    with pytest.raises(refusal):
        wish(world, order, amount, key="k")

    assert world.one("SELECT count(*) FROM follow_ups") == 0


def test_refunds_are_added_up(world: World) -> None:
    order = fulfilled(world)
    wish(world, order, "2.000", key="a")
    world.settle()

    with pytest.raises(RefundExceeds):
        wish(world, order, "0.751", key="b")
    wish(world, order, "0.750", key="c")
    world.settle()
    with pytest.raises(RefundExceeds):
        wish(world, order, None, key="d")

    assert given_back(world) == ["2.000", "0.750"]


def test_of_many_at_once_one_begins(world: World) -> None:
    order = fulfilled(world)

    def ask() -> bool:
        try:
            wish(world, order, "2.000", key=str(id(object())))
        except RunUnderWay:
            return False
        return True

    answers = at_once(ask, 8)
    world.settle()

    assert sum(answers) == 1
    assert given_back(world) == ["2.000"]


def test_a_repetition_is_known_by_its_key(world: World) -> None:
    order = fulfilled(world)
    first = wish(world, order, "1.000", key="k")
    again = wish(world, order, "1.000", key="k")
    world.settle()
    later = wish(world, order, "1.000", key="k")

    assert (again.replayed, again.run_id, later.run_id) == (True, first.run_id, first.run_id)
    with pytest.raises(KeyReused):
        wish(world, order, "0.500", key="k")
    assert given_back(world) == ["1.000"]


def test_nothing_is_given_back_that_was_not_taken(world: World) -> None:
    (order,) = world.accept()
    world.payment.behave(Mood.REFUSE, resource="captures")
    world.settle()
    do(world, Act.SKIP, order)
    world.settle()

    with pytest.raises(NotCaptured):
        wish(world, order, "1.000", key="k")


def test_a_refund_waits_for_nothing_that_is_under_way(world: World) -> None:
    (order,) = world.accept()

    with pytest.raises(RunUnderWay):
        wish(world, order, "1.000", key="k")


def test_another_tenants_order_is_not_there(world: World) -> None:
    order = fulfilled(world)

    for tenant, name in (("another", order), ("default", "nobody")):
        with pytest.raises(OrderNotFound):
            wish(world, name, "1.000", key="k", tenant=tenant)


@pytest.mark.parametrize("mood", [Mood.LOSE_ANSWER, Mood.SILENT, Mood.UNAVAILABLE], ids=lambda m: m.name)
def test_a_lost_answer_is_asked_for_until_it_is_heard(world: World, mood: Mood) -> None:
    order = fulfilled(world)
    world.payment.behave(mood, times=3)

    world.refund(order, "1.000")

    assert given_back(world) == ["1.000"]
    assert world.rows("SELECT amount::text FROM refunds") == [("1.000",)]


@pytest.mark.parametrize("mood", [Mood.REFUSE, Mood.SILENT, Mood.UNAVAILABLE], ids=lambda m: m.name)
def test_a_refund_that_is_given_up_is_owed(world: World, mood: Mood) -> None:
    order = fulfilled(world)
    world.payment.behave(mood)

    world.refund(order, "1.000")
    (group,) = desk(world).parked("default")
    with pytest.raises(RunUnderWay):
        wish(world, order, "1.000", key="other")
    world.payment.recover()
    do(world, Act.RETRY, order)
    world.settle()

    assert (group.step, group.code) == ("refund-payment", "refund-owed")
    assert [(m.held, m.in_doubt, m.owed) for m in group.money] == [("0", "0", "1.000")]
    assert given_back(world) == ["1.000"]


def test_what_is_paid_in_another_way_is_skipped_and_nobody_is_told(world: World) -> None:
    order = fulfilled(world)
    world.payment.behave(Mood.REFUSE)
    world.refund(order, "1.000")

    with pytest.raises(allowed.PastPivot):
        do(world, Act.TERMINATE, order, confirm=True)
    do(world, Act.SKIP, order)
    world.settle()

    assert given_back(world) == []
    assert world.one("SELECT count(*) FROM refunds") == 0
    assert "order.refunded" not in [row[0] for row in world.rows("SELECT type FROM outbox_in")]


def test_a_refund_is_called_off_before_it_is_begun_by_its_run_id_only(world: World) -> None:
    order = fulfilled(world)
    told = wish(world, order, "1.000", key="k")

    do(world, Act.CANCEL, told.run_id)
    world.settle()

    assert given_back(world) == []
    assert world.statuses() == {order: "CONFIRMED"}


def test_to_cancel_the_order_waits_for_its_refund(world: World) -> None:
    order = fulfilled(world)
    world.payment.behave(Mood.UNAVAILABLE, times=1)
    wish(world, order, "1.000", key="k")
    world.walk(world.claim_one())
    far_off(world)

    do(world, Act.CANCEL, order)
    world.settle()

    assert world.statuses() == {order: "CANCELLED"}
    assert given_back(world) == ["1.000", "1.750"]


def test_a_carrier_that_dies_with_the_answer_gives_nothing_twice(world: World) -> None:
    order = fulfilled(world)
    wish(world, order, "1.000", key="k")
    claimed = world.claim_one()
    world.payment.meanwhile("after do", lambda: world.sql("UPDATE cohorts SET epoch = epoch + 1"))

    world.walk(claimed)
    unheard = world.one("SELECT count(*) FROM refunds")
    world.settle()

    assert unheard == 0
    assert given_back(world) == ["1.000"]
    assert world.one("SELECT count(*) FROM refunds") == 1
