"""The main job, walked through with every step failing in turn, everything undone, then run again to success."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import redis
from fake_providers import Mood
from sqlalchemy import Engine as Database
from world import RANKING, STAGES, World

from app.runs.model import Member, Outcome, Verdict
from sagas.definition import Action, Call, Result, Saga, Stage, Step
from sagas.fulfill_order import FULFILL_ORDER
from sagas.ports import Ports

BEFORE_PIVOT = [step for step in FULFILL_ORDER.steps if STAGES[step.name] <= FULFILL_ORDER.pivot_stage]
AFTER_PIVOT = [step for step in FULFILL_ORDER.steps if STAGES[step.name] > FULFILL_ORDER.pivot_stage]
UNDOABLE = [step for step in FULFILL_ORDER.steps if step.compensation]
FAILURES = [Verdict.REJECTED, Verdict.UNAVAILABLE, Verdict.IN_DOUBT]


def name(step: Step) -> str:
    return step.name


def saying(verdict: Verdict, action: Action | None, *, times: int = 1_000) -> Action:
    """An action that says this verdict so many times, having acted or, with None, not; then acts and says so."""
    left = times

    def say(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
        nonlocal left
        real = action(ports, call, members) if action else None
        if left == 0 and real:
            return real
        left -= 1
        return Result({m.run_id: Outcome(verdict, "made-up") for m in members})

    return say


def with_step(changed: Step) -> Saga:
    stages = tuple(
        Stage(tuple(changed if step.name == changed.name else step for step in stage.steps))
        for stage in FULFILL_ORDER.stages
    )
    return replace(FULFILL_ORDER, stages=stages)


@pytest.mark.parametrize("fleet", [False, True])
def test_an_order_is_confirmed_with_one_effect_of_each_kind(world: World, fleet: bool) -> None:
    if fleet:
        world.add_courier()
    (order,) = world.accept()

    world.settle()

    partner = "own-fleet" if fleet else RANKING[0]
    assert world.rows("SELECT id, status, partner, channel FROM uoop_orders") == [
        (order, "CONFIRMED", partner, "own-fleet" if fleet else "partner")
    ]
    assert sorted(world.standing()) == [
        f"{order}:authorize-payment:0",
        f"{order}:capture-payment:0",
        f"{order}:dispatch-to-partner:{partner}:0",
        f"{order}:place-with-restaurant:0",
    ]
    assert world.held_places() == 1
    assert world.taken_slots() == 0


@pytest.mark.parametrize("acts", [False, True], ids=["without effect", "with effect"])
@pytest.mark.parametrize("verdict", FAILURES, ids=lambda v: v.name)
@pytest.mark.parametrize("step", BEFORE_PIVOT, ids=name)
def test_a_step_that_fails_undoes_everything(
    db: Database, client: "redis.Redis[bytes]", step: Step, verdict: Verdict, acts: bool
) -> None:
    failing = saying(verdict, step.action if acts else None)
    world = World.made(db, client, saga=with_step(replace(step, action=failing)))
    world.add_courier()
    failed = world.accept(3)

    world.settle()
    standing, held, pooled = world.standing(), world.held_places(), world.pooled()
    world.engine = world.another_engine()
    (again,) = world.accept()
    world.settle()

    compensated = step is not FULFILL_ORDER.steps[0]
    failure = {"code": "made-up", "step": step.name, "compensated": compensated}
    assert world.failures() == dict.fromkeys(failed, failure)
    assert (standing, held, pooled) == ([], 0, 0)
    assert world.statuses() == {**dict.fromkeys(failed, "FAILED"), again: "CONFIRMED"}
    assert world.taken_slots() == 0


@pytest.mark.parametrize("verdict", [Verdict.UNAVAILABLE, Verdict.IN_DOUBT], ids=lambda v: v.name)
@pytest.mark.parametrize("step", FULFILL_ORDER.steps, ids=name)
def test_a_step_that_recovers_is_done_once(
    db: Database, client: "redis.Redis[bytes]", step: Step, verdict: Verdict
) -> None:
    recovering = saying(verdict, step.action, times=3)
    world = World.made(db, client, saga=with_step(replace(step, action=recovering)))
    (order,) = world.accept()

    world.settle()

    assert world.statuses() == {order: "CONFIRMED"}
    assert len(world.standing()) == len(world.book.effects) == 4
    assert world.held_places() == 1


@pytest.mark.parametrize("verdict", FAILURES, ids=lambda v: v.name)
@pytest.mark.parametrize("step", AFTER_PIVOT, ids=name)
def test_a_step_past_the_pivot_that_fails_parks_the_run_and_undoes_nothing(
    db: Database, client: "redis.Redis[bytes]", step: Step, verdict: Verdict
) -> None:
    world = World.made(db, client, saga=with_step(replace(step, action=saying(verdict, None))))
    (order,) = world.accept()

    world.settle()

    assert world.rows("SELECT state, failure ->> 'code', failure ->> 'step' FROM runs") == [
        ("p", step.give_up_code, step.name)
    ]
    assert {effect.op for effect in world.book.effects} == {"do"}
    assert world.held_places() == 1
    assert world.statuses()[order] != "FAILED"
    assert world.taken_slots() == 0


@pytest.mark.parametrize("verdict", [Verdict.UNAVAILABLE, Verdict.IN_DOUBT], ids=lambda v: v.name)
@pytest.mark.parametrize("acts", [False, True], ids=["without effect", "with effect"])
@pytest.mark.parametrize("step", UNDOABLE, ids=name)
def test_a_compensation_is_tried_until_it_succeeds(
    db: Database, client: "redis.Redis[bytes]", step: Step, acts: bool, verdict: Verdict
) -> None:
    world = World.made(db, client, saga=undo_fails_after_refused_dispatch(step, verdict, acts=acts, times=5))
    (order,) = world.accept()

    world.settle()

    assert world.failures() == {order: {"code": "made-up", "step": FULFILL_ORDER.pivot, "compensated": True}}
    assert world.standing() == []
    assert world.held_places() == 0


@pytest.mark.parametrize("verdict", FAILURES, ids=lambda v: v.name)
@pytest.mark.parametrize("step", UNDOABLE, ids=name)
def test_a_compensation_that_never_succeeds_parks_the_run_and_tells_the_order_nothing(
    db: Database, client: "redis.Redis[bytes]", step: Step, verdict: Verdict
) -> None:
    world = World.made(
        db, client, saga=undo_fails_after_refused_dispatch(step, verdict, acts=False, times=99)
    )
    (order,) = world.accept()

    world.settle()

    assert world.rows("SELECT state, failure FROM runs") == [
        (
            "p",
            {
                "code": "made-up",
                "step": FULFILL_ORDER.pivot,
                "parked": f"undo-{step.name}",
                "parked_code": "made-up",
            },
        )
    ]
    assert world.statuses() == {order: "PENDING"}
    assert world.taken_slots() == 0


def undo_fails_after_refused_dispatch(step: Step, verdict: Verdict, *, acts: bool, times: int) -> Saga:
    dispatch = FULFILL_ORDER.steps[FULFILL_ORDER.numbers[FULFILL_ORDER.pivot]]
    refused = with_step(replace(dispatch, action=saying(Verdict.REJECTED, dispatch.action)))
    assert step.compensation
    left = times

    def undo(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
        nonlocal left
        left -= 1
        assert step.compensation
        real = step.compensation(ports, call, members) if acts or left < 0 else None
        if left < 0 and real:
            return real
        return Result({m.run_id: Outcome(verdict, "made-up") for m in members})

    stages = tuple(
        Stage(tuple(replace(s, compensation=undo) if s.name == step.name else s for s in stage.steps))
        for stage in refused.stages
    )
    return replace(refused, stages=stages)


def test_a_mixed_cohort_parts_and_the_rest_is_confirmed(world: World) -> None:
    orders = world.accept(10)
    refused, late, silent = orders[:3]
    world.payment.behave(Mood.REFUSE, orders=[refused])
    world.payment.behave(Mood.LOSE_ANSWER, orders=[late], times=1)
    world.kitchens.behave(Mood.UNAVAILABLE, orders=[late], times=2)
    world.kitchens.behave(Mood.SILENT, orders=[silent])

    claimed = world.claim_one()
    world.walk(claimed)
    first = world.statuses()
    world.settle()

    assert [first[order] for order in orders] == ["PENDING"] * 3 + ["CONFIRMED"] * 7
    assert [world.statuses()[order] for order in orders] == ["FAILED", "CONFIRMED", "FAILED"] + [
        "CONFIRMED"
    ] * 7
    assert {key.split(":")[0] for key in world.standing()} == {late, *orders[3:]}
    assert world.held_places() == 8


def test_orders_that_fail_at_different_steps_are_undone_by_one_cohort(world: World) -> None:
    by_payment, by_kitchen, by_partners = world.accept(3)
    world.payment.behave(Mood.REFUSE, orders=[by_payment])
    world.kitchens.behave(Mood.REFUSE, orders=[by_kitchen])
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE, orders=[by_partners])
    world.walk(world.claim_one())

    undoing = world.claim_one()
    world.walk(undoing)

    assert undoing.direction == "b"
    assert {order: failure["code"] for order, failure in world.failures().items()} == {
        by_payment: "payment-refused",
        by_kitchen: "restaurant-refused",
        by_partners: "no-available-partner",
    }
    assert world.standing() == []


def test_a_full_kitchen_rejects_only_those_beyond_its_limit(world: World) -> None:
    world.sql(
        "INSERT INTO restaurants (tenant_id, id, lat, lng, slot_capacity) VALUES ('default', 'restaurant-1', 0, 0, 4)"
    )
    world.accept(7)

    world.settle()

    assert sorted(world.statuses().values()) == ["CONFIRMED"] * 4 + ["FAILED"] * 3
    assert {f["code"] for f in world.failures().values()} == {"capacity-full"}
    assert world.held_places() == 4


@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        ("UPDATE runs SET cancel_requested = true", "cancelled", "CANCELLED"),
        ("UPDATE runs SET not_after = now() - interval '1 s'", "expired", "FAILED"),
        ("UPDATE capacity_holds SET expires_at = now() - interval '1 s'", "hold-expired", "FAILED"),
        ("UPDATE capacity_holds SET released_at = now()", "hold-expired", "FAILED"),
        ("DELETE FROM capacity_holds", "hold-expired", "FAILED"),
    ],
)
def test_the_gate_lets_nobody_to_the_pivot_who_may_not_pass(
    world: World, change: str, code: str, status: str
) -> None:
    (order,) = world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until="dispatch-to-partner")
    world.sql(change)

    world.walk(claimed, leg=STAGES["dispatch-to-partner"])
    world.settle()

    assert [partner.calls for partner in world.partners.values()] == [[], [], []]
    assert world.failures()[order]["code"] == code
    assert world.statuses() == {order: status}
    assert world.standing() == []


def test_a_cancellation_past_the_gate_changes_nothing(world: World) -> None:
    (order,) = world.accept()
    world.partners[RANKING[0]].meanwhile(
        "before do", lambda: world.sql("UPDATE runs SET cancel_requested = true")
    )

    world.settle()

    assert world.statuses() == {order: "CONFIRMED"}


def test_a_step_that_raises_is_tried_again(db: Database, client: "redis.Redis[bytes]") -> None:
    plan = next(step for step in FULFILL_ORDER.steps if step.name == "plan-fulfilment")
    left = [ValueError("once"), KeyError("twice")]

    def raising(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
        if left:
            raise left.pop()
        return plan.action(ports, call, members)

    world = World.made(db, client, saga=with_step(replace(plan, action=raising)))
    (order,) = world.accept()

    world.settle()

    assert world.statuses() == {order: "CONFIRMED"}


def test_every_event_is_written_once_with_its_order(world: World) -> None:
    confirmed, refused = world.accept(2)
    world.payment.behave(Mood.REFUSE, orders=[refused])

    world.settle()

    events = world.rows("SELECT order_id, sequence, type FROM outbox_in ORDER BY id")
    assert [event[1:] for event in events if event[0] == confirmed] == [
        (1, "order.accepted"),
        (2, "order.confirmed"),
    ]
    assert [event[1:] for event in events if event[0] == refused] == [
        (1, "order.accepted"),
        (2, "order.failed"),
    ]


def test_an_order_that_breaks_a_step_is_parked_and_the_others_go_on(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    place = next(step for step in FULFILL_ORDER.steps if step.name == "place-with-restaurant")
    poison: list[str] = []

    def brittle(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
        if any(member.order_id in poison for member in members):
            raise ValueError("cannot be digested")
        return place.action(ports, call, members)

    world = World.made(db, client, saga=with_step(replace(place, action=brittle)))
    orders = world.accept(9)
    poison.append(orders[4])

    world.settle()

    assert world.statuses() == {order: "PENDING" if order in poison else "CONFIRMED" for order in orders}
    assert world.rows("SELECT order_id, failure ->> 'code' FROM runs WHERE state = 'p'") == [
        (orders[4], "raised-ValueError")
    ]


def test_a_step_that_breaks_for_everybody_parks_nobody(db: Database, client: "redis.Redis[bytes]") -> None:
    place = next(step for step in FULFILL_ORDER.steps if step.name == "place-with-restaurant")
    broken = [True]

    def brittle(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
        if broken:
            raise ValueError("a bad release")
        return place.action(ports, call, members)

    world = World.made(db, client, saga=with_step(replace(place, action=brittle)))
    orders = world.accept(9)
    world.walk(world.claim_one())
    while_broken = set(world.states().values())
    broken.clear()

    world.settle()

    assert while_broken == {"w"}
    assert world.statuses() == dict.fromkeys(orders, "CONFIRMED")
