"""Another partner for an order whose partner has given it back, or is silent: never two who have it."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
import redis
from fake_providers import Mood
from sqlalchemy import Engine as Database
from sqlalchemy.exc import OperationalError
from world import RANKING, World

from app.deliveries import service
from app.deliveries.model import Fate, Report, Reporter
from app.orders.model import OrderNotFound, Status
from app.runs import attempts
from app.runs.allowed import Act
from app.runs.follow_ups import RunUnderWay
from sagas import deliveries
from sagas.all import SAGAS
from sagas.cancel_confirmed_order import CANCEL_CONFIRMED_ORDER
from sagas.delivery_desk import DeliveryDesk, MoveNotAllowed, NotBeforePickup
from sagas.operations import Instruction, Operations
from sagas.reroute_order import REROUTE_ORDER

FIRST, SECOND, THIRD = RANKING
DISPATCH = "dispatch-to-partner"
REPORTING = dict.fromkeys(RANKING, 60.0)
_events = count()


@pytest.fixture
def world(db: Database, client: "redis.Redis[bytes]") -> World:
    """One whose partners are known to report."""
    return World.made(db, client, silence_s=REPORTING)


def confirmed(world: World) -> str:
    (order,) = world.accept()
    world.settle()
    return order


def tell(world: World, order: str, what: str, *, by: str = FIRST) -> None:
    report = Report(
        reporter=Reporter.PARTNER,
        by=by,
        event_id=f"event-{next(_events)}",
        order=order,
        what=what,
        at=datetime.now(UTC),
    )
    with world.db.begin() as connection:
        service.store(connection, [report])
    deliveries.apply_reports(world.ports)


def wait_past(world: World, seconds: float) -> None:
    """Let time pass for what was promised, and for those who look at it."""
    world.sql(
        "UPDATE uoop_orders SET eta = now() - :s * interval '1 s', updated_at = now() - :s * interval '1 s'",
        s=seconds,
    )
    world.sql("UPDATE delivery_watch SET look_at = now()")


def watch(world: World) -> int:
    found = deliveries.watch_deliveries(world.ports)
    deliveries.apply_reports(world.ports)
    return found


def key(order: str, partner: str, generation: int) -> str:
    return f"{order}:{DISPATCH}:{partner}:{generation}"


def standing(world: World) -> list[str]:
    return world.book.standing("dispatches")


def delivery(world: World) -> tuple[str, str, bool]:
    """Status, partner, and whether it is on its way to another one."""
    ((status, partner, rerouting),) = world.rows(
        "SELECT status, partner, rerouting IS NOT NULL FROM uoop_orders"
    )
    return status, partner, rerouting


def fates(world: World) -> list[tuple[str, str | None]]:
    found = world.rows("SELECT state, reason FROM delivery_reports ORDER BY id")
    return [(Fate(state).name, reason) for state, reason in found]


def reroute_state(world: World) -> tuple[str, str | None]:
    ((state, code),) = world.rows(
        "SELECT state, failure ->> 'code' FROM runs WHERE saga = :s", s=REROUTE_ORDER.name
    )
    return state, code


def test_an_order_that_is_given_back_goes_to_the_next_partner(world: World) -> None:
    order = confirmed(world)
    tell(world, order, "PREPARING")

    tell(world, order, "GIVEN_BACK")
    world.settle()

    assert delivery(world) == ("PREPARING", SECOND, False)
    assert standing(world) == [key(order, SECOND, 1)]
    assert world.book.most_dispatches() == 1
    assert world.rows(
        "SELECT sequence, type, data ->> 'partner' FROM outbox_in ORDER BY id DESC LIMIT 1"
    ) == [(4, "order.rerouted", SECOND)]


def test_the_present_partner_is_recalled_before_the_next_is_asked(world: World) -> None:
    order = confirmed(world)
    stood: list[list[str]] = []
    world.partners[SECOND].meanwhile("before do", lambda: stood.append(standing(world)))

    tell(world, order, "GIVEN_BACK")
    world.settle()

    assert stood == [[]]


def test_who_gave_it_back_is_not_asked_again(world: World) -> None:
    order = confirmed(world)

    for partner in (FIRST, SECOND):
        tell(world, order, "GIVEN_BACK", by=partner)
        world.settle()

    assert standing(world) == [key(order, THIRD, 2)]
    assert delivery(world) == ("CONFIRMED", THIRD, False)


def test_when_nobody_is_left_it_is_parked_with_its_money(world: World) -> None:
    order = confirmed(world)
    for partner in (SECOND, THIRD):
        world.partners[partner].behave(Mood.REFUSE)

    tell(world, order, "GIVEN_BACK")
    world.settle()

    assert reroute_state(world) == ("p", "no-available-partner")
    assert standing(world) == []
    (group,) = Operations(world.db, SAGAS, world.doorbell).parked("default")
    assert (group.code, group.holds, group.money[0].held) == ("no-available-partner", 1, "2.750")


def test_when_all_have_given_it_back_it_is_parked(world: World) -> None:
    order = confirmed(world)

    for partner in RANKING:
        tell(world, order, "GIVEN_BACK", by=partner)
        world.settle()

    found = world.rows(
        "SELECT state, failure ->> 'code', failure ->> 'step' FROM runs ORDER BY id DESC LIMIT 1"
    )
    assert found == [("p", "no-available-partner", "plan-fulfilment")]


def test_the_own_fleet_takes_over_where_it_can(world: World) -> None:
    order = confirmed(world)
    world.add_courier()

    tell(world, order, "GIVEN_BACK")
    world.settle()

    assert world.pooled() == 1
    assert standing(world) == []
    assert delivery(world) == ("CONFIRMED", "own-fleet", False)


def test_the_own_fleet_gives_back_too(world: World) -> None:
    world.add_courier()
    order = confirmed(world)

    tell(world, order, "GIVEN_BACK", by="own-fleet")
    world.settle()

    assert world.pooled() == 0
    assert standing(world) == [key(order, FIRST, 1)]


@pytest.mark.parametrize("op", ["undo", "do"])
@pytest.mark.parametrize(
    "mood", [Mood.LOSE_ANSWER, Mood.SILENT, Mood.UNAVAILABLE], ids=lambda mood: mood.name
)
def test_lost_answers_make_no_second_dispatch(world: World, op: str, mood: Mood) -> None:
    order = confirmed(world)
    for partner in world.partners.values():
        partner.behave(mood, op=op, times=2)

    tell(world, order, "GIVEN_BACK")
    world.settle()

    assert world.book.most_dispatches() == 1
    assert delivery(world)[0::2] == ("CONFIRMED", False)
    assert standing(world) == [key(order, delivery(world)[1], 1)]


def test_a_partner_who_cannot_be_reached_keeps_others_from_being_asked(world: World) -> None:
    order = confirmed(world)
    world.partners[FIRST].behave(Mood.SILENT, op="undo")

    tell(world, order, "GIVEN_BACK")
    world.settle()

    assert reroute_state(world) == ("p", "partner-not-heard")
    assert [op for op, _ in world.partners[SECOND].calls] == []
    assert delivery(world) == ("CONFIRMED", FIRST, True)


def test_a_partner_who_does_not_give_back_keeps_the_order_and_a_person_is_told(world: World) -> None:
    order = confirmed(world)
    world.partners[FIRST].behave(Mood.REFUSE, op="undo")

    tell(world, order, "GIVEN_BACK")
    world.settle()
    deliveries.apply_reports(world.ports)

    assert reroute_state(world)[0] == "e"
    assert standing(world) == [key(order, FIRST, 0)]
    assert delivery(world) == ("CONFIRMED", FIRST, False)
    assert fates(world) == [("APPLIED", None), ("PARKED", "partner-keeps-order")]


@pytest.mark.parametrize("step", [step.name for step in REROUTE_ORDER.steps])
@pytest.mark.parametrize("done", [False, True], ids=["before it is done", "after it is done"])
def test_a_crash_in_any_step_does_not_matter(world: World, step: str, done: bool) -> None:
    order = confirmed(world)
    tell(world, order, "GIVEN_BACK")
    claimed = world.claim_one()
    world.walk(claimed, until=step)
    if done:  # the effect, but not its outcome
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("app.runs.executions.finish", _crash)
            with pytest.raises(SystemError):
                world.walk(claimed, leg=REROUTE_ORDER.numbers[step])
    world.settle()

    assert world.book.most_dispatches() == 1
    assert standing(world) == [key(order, SECOND, 1)]
    assert delivery(world) == ("CONFIRMED", SECOND, False)
    assert world.one("SELECT count(*) FROM outbox_in WHERE type = 'order.rerouted'") == 1


def _crash(*_: object, **__: object) -> None:
    raise SystemError


def test_what_the_partners_report_meanwhile_waits(world: World) -> None:
    order = confirmed(world)
    tell(world, order, "GIVEN_BACK")

    tell(world, order, "PICKED_UP", by=FIRST)
    tell(world, order, "PREPARING", by=SECOND)
    meanwhile = delivery(world)
    world.settle()
    deliveries.apply_reports(world.ports)

    assert meanwhile == ("CONFIRMED", FIRST, True)
    assert delivery(world) == ("PREPARING", SECOND, False)
    assert fates(world) == [("APPLIED", None), ("PARKED", "other-partner"), ("APPLIED", None)]


def test_two_who_say_the_same_begin_one_reroute(world: World) -> None:
    order = confirmed(world)

    tell(world, order, "GIVEN_BACK")
    tell(world, order, "GIVEN_BACK")
    world.settle()
    deliveries.apply_reports(world.ports)

    assert world.one("SELECT count(*) FROM follow_ups") == 1
    assert fates(world) == [("APPLIED", None), ("SUPERSEDED", None)]


def test_it_waits_for_a_run_that_has_not_ended(world: World) -> None:
    (order,) = world.accept()
    world.payment.behave(Mood.UNAVAILABLE, resource="captures", times=1)
    world.walk(world.claim_one())
    tell(world, order, "GIVEN_BACK")
    waiting = fates(world)
    world.settle()
    world.sql("UPDATE delivery_reports SET due_at = now()")

    deliveries.apply_reports(world.ports)
    world.settle()

    assert waiting == [("WAITING", None)]
    assert delivery(world) == ("CONFIRMED", SECOND, False)


def test_a_capture_that_waits_for_a_person_does_not_keep_the_meal_from_another_partner(world: World) -> None:
    (order,) = world.accept()
    world.payment.behave(Mood.REFUSE, resource="captures")
    world.settle()
    assert world.rows("SELECT state, failure ->> 'code' FROM runs") == [("p", "money-owed")]

    tell(world, order, "GIVEN_BACK")
    world.settle()
    world.payment.recover()
    operate(world, Act.RETRY)
    world.settle()

    assert delivery(world) == ("CONFIRMED", SECOND, False)
    assert standing(world) == [key(order, SECOND, 1)]
    assert world.book.standing("captures") == [f"{order}:capture-payment:0"]


def test_a_refund_that_waits_for_a_person_does_not_keep_the_meal_from_another_partner(world: World) -> None:
    order = confirmed(world)
    world.payment.behave(Mood.REFUSE, resource="refunds")
    world.refund(order, "1.000")
    assert world.rows("SELECT state FROM runs WHERE saga = 'refund-order'") == [("p",)]

    told = desk(world).reroute("default", order, who="fatima", why="an accident")
    world.settle()

    assert delivery(world) == ("CONFIRMED", SECOND, False)
    assert told.tracking_id == order


def test_a_cancellation_that_waits_for_a_person_brings_no_other_partner(world: World) -> None:
    order = confirmed(world)
    world.kitchens.behave(Mood.REFUSE, op="undo")
    world.follow_up(CANCEL_CONFIRMED_ORDER, order)
    world.settle()

    tell(world, order, "GIVEN_BACK")

    assert fates(world) == [("WAITING", None)]


def test_silence_of_a_partner_who_still_has_it_brings_the_next(world: World) -> None:
    order = confirmed(world)
    wait_past(world, 61)

    found = watch(world)
    world.settle()

    assert found == 1
    assert [op for op, _ in world.partners[FIRST].calls] == ["do", "find", "undo"]
    assert standing(world) == [key(order, SECOND, 1)]


def test_a_partner_who_tells_when_asked_is_not_silent(world: World) -> None:
    order = confirmed(world)
    world.partners[FIRST].tells[key(order, FIRST, 0)] = "PICKED_UP"
    wait_past(world, 61)

    watch(world)
    world.settle()

    assert delivery(world) == ("PICKED_UP", FIRST, False)


def test_a_partner_who_knows_nothing_of_it_has_given_it_back(world: World) -> None:
    order = confirmed(world)
    world.partners[FIRST].undo("dispatches", [key(order, FIRST, 0)], timeout_s=1)
    wait_past(world, 61)

    watch(world)
    world.settle()

    assert delivery(world) == ("CONFIRMED", SECOND, False)


def test_a_partner_who_does_not_answer_is_asked_again_before_he_counts_as_silent(world: World) -> None:
    confirmed(world)
    world.partners[FIRST].behave(Mood.SILENT, op="find")
    wait_past(world, 61)
    first = watch(world)
    wait_past(world, 121)

    second = watch(world)

    assert (first, second) == (0, 1)


def test_silence_after_the_pickup_is_a_persons_business(world: World) -> None:
    order = confirmed(world)
    tell(world, order, "PICKED_UP")
    wait_past(world, 61)

    watch(world)

    assert fates(world)[-1] == ("PARKED", "silent-after-pickup")
    assert delivery(world) == ("PICKED_UP", FIRST, False)


def test_who_has_just_reported_is_not_silent(world: World) -> None:
    order = confirmed(world)
    tell(world, order, "PREPARING")
    world.sql("UPDATE uoop_orders SET eta = now() - interval '61 s'")
    world.sql("UPDATE delivery_watch SET look_at = now()")

    assert watch(world) == 0


@pytest.mark.parametrize("status", ["DELIVERED", "CANCELLED"])
def test_what_has_ended_is_watched_no_longer(world: World, status: str) -> None:
    confirmed(world)
    wait_past(world, 61)
    world.sql("UPDATE uoop_orders SET status = :s", s=status)

    assert watch(world) == 0
    assert world.one("SELECT count(*) FROM delivery_watch") == 0


def test_partners_who_do_not_report_are_not_watched(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client)
    confirmed(world)

    assert world.one("SELECT count(*) FROM delivery_watch") == 0


def desk(world: World) -> DeliveryDesk:
    return DeliveryDesk(world.db, world.doorbell)


def test_an_operator_gives_an_order_to_another_partner(world: World) -> None:
    order = confirmed(world)

    told = desk(world).reroute("default", order, who="fatima", why="an accident")
    world.settle()

    assert delivery(world) == ("CONFIRMED", SECOND, False)
    assert world.rows("SELECT run_id::text, act, who, why FROM ops_acts") == [
        (told.run_id, "reroute", "fatima", "an accident")
    ]


def test_an_operator_cannot_reroute_what_is_under_way_or_picked_up(world: World) -> None:
    order = confirmed(world)
    desk(world).reroute("default", order, who="fatima", why="an accident")
    with pytest.raises(RunUnderWay):
        desk(world).reroute("default", order, who="fatima", why="again")
    world.settle()
    tell(world, order, "PICKED_UP", by=SECOND)

    with pytest.raises(NotBeforePickup):
        desk(world).reroute("default", order, who="fatima", why="too late")
    with pytest.raises(OrderNotFound):
        desk(world).reroute("another tenant", order, who="fatima", why="not his")


def test_an_operator_marks_an_order_as_delivered(world: World) -> None:
    order = confirmed(world)

    told = desk(world).mark("default", order, Status.DELIVERED, who="fatima", why="the customer says so")

    assert (told.before, told.status) == (Status.CONFIRMED, Status.DELIVERED)
    assert delivery(world) == ("DELIVERED", FIRST, False)
    assert world.rows("SELECT by, details ->> 'why' FROM delivery_reports") == [
        ("fatima", "the customer says so")
    ]


def test_an_operator_moves_no_order_back(world: World) -> None:
    order = confirmed(world)
    tell(world, order, "PICKED_UP")

    with pytest.raises(MoveNotAllowed):
        desk(world).mark("default", order, Status.PREPARING, who="fatima", why="a mistake")

    assert world.one("SELECT count(*) FROM delivery_reports") == 1


def test_a_parked_reroute_can_be_tried_again(world: World) -> None:
    order = confirmed(world)
    for partner in (SECOND, THIRD):
        world.partners[partner].behave(Mood.REFUSE)
    tell(world, order, "GIVEN_BACK")
    world.settle()
    world.partners[SECOND].recover()

    operate(world, Act.RETRY)
    world.settle()

    assert delivery(world) == ("CONFIRMED", SECOND, False)
    assert world.book.most_dispatches() == 1


def test_a_parked_reroute_can_be_given_up_and_the_order_cancelled(world: World) -> None:
    order = confirmed(world)
    for partner in (SECOND, THIRD):
        world.partners[partner].behave(Mood.REFUSE)
    tell(world, order, "GIVEN_BACK")
    world.settle()

    operate(world, Act.TERMINATE)
    given_up = delivery(world)
    world.follow_up(CANCEL_CONFIRMED_ORDER, order)
    world.settle()

    assert given_up == ("CONFIRMED", None, False)
    assert world.statuses() == {order: "CANCELLED"}
    assert standing(world) == []


def left_in_doubt(world: World, mood: Mood) -> str:
    """An order whose reroute was ended by an operator while its new partner did not answer."""
    order = confirmed(world)
    world.partners[SECOND].behave(mood)
    for op in ("find", "undo"):
        world.partners[SECOND].behave(Mood.SILENT, op=op)
    tell(world, order, "GIVEN_BACK")
    world.settle()
    assert reroute_state(world) == ("p", "partner-not-heard")
    operate(world, Act.TERMINATE)
    world.partners[SECOND].recover()
    return order


EITHER_WAY = pytest.mark.parametrize("mood", [Mood.LOSE_ANSWER, Mood.SILENT], ids=lambda mood: mood.name)


@EITHER_WAY
def test_an_abandoned_order_is_with_who_may_have_it(world: World, mood: Mood) -> None:
    order = left_in_doubt(world, mood)

    tell(world, order, "PICKED_UP", by=SECOND)

    assert delivery(world) == ("PICKED_UP", SECOND, False)


@EITHER_WAY
@pytest.mark.parametrize("recalling", ["reroute", "cancel"])
def test_who_may_have_an_abandoned_order_is_recalled_by_whatever_comes_next(
    world: World, mood: Mood, recalling: str
) -> None:
    order = left_in_doubt(world, mood)

    if recalling == "cancel":
        world.follow_up(CANCEL_CONFIRMED_ORDER, order)
    else:
        desk(world).reroute("default", order, who="fatima", why="he does not answer")
    world.settle()

    assert standing(world) == ([] if recalling == "cancel" else [key(order, THIRD, 2)])
    assert world.book.most_dispatches() == 1
    assert ("undo", key(order, SECOND, 1)) in world.partners[SECOND].calls


def test_a_partner_who_turns_out_not_to_have_an_abandoned_order_is_replaced(world: World) -> None:
    left_in_doubt(world, Mood.SILENT)
    wait_past(world, 61)

    watch(world)
    world.settle()

    assert delivery(world) == ("CONFIRMED", THIRD, False)
    assert world.book.most_dispatches() == 1


def test_who_was_recalled_after_all_does_not_have_an_abandoned_order(world: World) -> None:
    order = confirmed(world)
    world.partners[SECOND].behave(Mood.SILENT, times=1)
    for partner in (SECOND, THIRD):
        world.partners[partner].behave(Mood.REFUSE)
    tell(world, order, "GIVEN_BACK")
    world.settle()
    assert reroute_state(world) == ("p", "no-available-partner")

    operate(world, Act.TERMINATE)

    assert delivery(world) == ("CONFIRMED", None, False)
    assert standing(world) == []


def test_a_database_that_is_away_clears_nobody_who_may_have_an_abandoned_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = confirmed(world)
    world.partners[SECOND].behave(Mood.LOSE_ANSWER)
    all_of = attempts.all_of

    def away(*asked: Any) -> dict[int, list[attempts.Attempt]]:
        if key(order, SECOND, 1) in standing(world):
            raise OperationalError("SELECT", {}, Exception("the server went away"))
        return all_of(*asked)

    with monkeypatch.context() as patch:
        patch.setattr(attempts, "all_of", away)
        tell(world, order, "GIVEN_BACK")
        world.settle()
        operate(world, Act.TERMINATE)
    left_with = delivery(world)
    desk(world).reroute("default", order, who="fatima", why="he does not answer")
    world.settle()

    assert left_with == ("CONFIRMED", SECOND, False)
    assert standing(world) == [key(order, THIRD, 2)]
    assert world.book.most_dispatches() == 1


def operate(world: World, act: Act) -> None:
    """Act on the order's parked reroute."""
    run_id = world.one("SELECT id::text FROM runs WHERE state = 'p'")
    wanted = Instruction(act=act, who="fatima", why="a test", confirm=True)
    Operations(world.db, SAGAS, world.doorbell).act("default", run_id, wanted)
