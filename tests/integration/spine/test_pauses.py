"""What operators pause waits without being called, and goes on, or is given up in time, as if nothing had been."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from fake_providers import FakeProvider, Mood
from test_operations import do
from together import all_at_once
from world import FULFILL_ORDER, RANKING, World

from app.optimization.model import OWN_FLEET
from app.runs import pauses
from app.runs.allowed import Act
from app.runs.pauses import Kind, NotPaused
from sagas.all import SAGAS
from sagas.operations import Operations
from sagas.pause_desk import PauseDesk, Switch, UnknownName

PARTNERS = ("benefit", "kitchens", *RANKING, OWN_FLEET)
STEPS = [step.name for step in FULFILL_ORDER.steps]
SOLE_PARTNERS = [(Kind.PARTNER, "benefit"), (Kind.PARTNER, "kitchens")]
UNDOABLE = [step.name for step in FULFILL_ORDER.steps if step.compensation]


def desk(world: World) -> PauseDesk:
    return PauseDesk(world.db, SAGAS, lambda: PARTNERS, world.doorbell)


def pause(world: World, kind: Kind, *names: str, for_s: float | None = None) -> None:
    for name in names:
        desk(world).pause(
            Switch(kind=kind, name=name, tenant_id="default", who="tests", why="because", for_s=for_s)
        )


def resume(world: World, kind: Kind, *names: str) -> None:
    for name in names:
        desk(world).resume(Switch(kind=kind, name=name, tenant_id="default", who="tests", why="mended"))


def walk_all(world: World, rounds: int = 12) -> None:
    """Carry whatever is due, and nothing that is not."""
    for _ in range(rounds):
        world.engine.sweep()
        world.engine.claim()
        world.walk_sent()


def lanes(world: World) -> list[str]:
    return [row[0] for row in world.rows("SELECT DISTINCT lane FROM runs WHERE state = 'w' ORDER BY 1")]


def run_out_of_time(world: World) -> None:
    """Let so much time pass that all orders are overdue."""
    world.sql("UPDATE runs SET not_after = now() - interval '1 s'")
    world.sql(
        "UPDATE runs SET due_at = not_after WHERE state = 'w' AND direction = 'f' "
        "AND due_at < now() + interval '20 min'"
    )


def calls(world: World) -> int:
    return sum(len(provider.calls) for provider in world.providers())


def confirmed_once(world: World, count: int) -> bool:
    return (
        list(world.statuses().values()) == ["CONFIRMED"] * count
        and set(world.states().values()) == {"e"}
        and len(world.standing()) == 4 * count
        and world.book.most_dispatches() <= 1
        and len([effect for effect in world.book.effects if effect.op == "do"])
        == len(set(world.book.effects))
        and world.taken_slots() == 0
    )


def nothing_stands(world: World) -> bool:
    return world.standing() == [] and world.held_places() == 0 and world.taken_slots() == 0


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Kind.SAGA, FULFILL_ORDER.name), *((Kind.STEP, step) for step in STEPS), *SOLE_PARTNERS],
)
def test_what_is_paused_waits_and_goes_on_when_it_is_resumed(world: World, kind: Kind, name: str) -> None:
    pause(world, kind, name)
    world.accept(3)
    walk_all(world)
    waited = lanes(world)
    before = calls(world)
    walk_all(world)
    came_again = calls(world) - before

    resume(world, kind, name)
    walk_all(world)

    assert waited == [f"paused:{kind}:{name}"]
    assert came_again == 0
    assert confirmed_once(world, 3)


@pytest.mark.parametrize("provider", ["benefit", "kitchens"])
def test_a_paused_partner_is_not_called_at_all(world: World, provider: str) -> None:
    called: dict[str, FakeProvider] = {each.name: each for each in world.providers()}
    (order,) = world.accept()
    world.walk(world.claim_one(), until="dispatch-to-partner")  # held and placed; the dispatch will fail
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE)
    world.age()
    before = len(called[provider].calls)

    pause(world, Kind.PARTNER, provider)
    world.accept()
    walk_all(world)
    untouched = len(called[provider].calls) - before
    resume(world, Kind.PARTNER, provider)
    walk_all(world)

    assert untouched == 0
    assert set(world.statuses().values()) == {"FAILED"}
    assert world.failures()[order]["code"] == "no-available-partner"
    assert nothing_stands(world)


@pytest.mark.parametrize("step", UNDOABLE)
def test_a_paused_step_is_not_undone_before_it_is_resumed(world: World, step: str) -> None:
    world.accept(2)
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE)
    claimed = world.claim_one()
    world.walk(claimed)
    pause(world, Kind.STEP, step)
    walk_all(world)
    waited, attempts = lanes(world), world.one("SELECT max(attempts) FROM runs")

    resume(world, Kind.STEP, step)
    walk_all(world)

    assert (waited, attempts) == ([f"paused:step:{step}"], 0)
    assert set(world.statuses().values()) == {"FAILED"}
    assert nothing_stands(world)


def test_a_paused_delivery_partner_is_passed_over(world: World) -> None:
    pause(world, Kind.PARTNER, RANKING[0])
    world.accept(2)

    walk_all(world)

    assert confirmed_once(world, 2)
    assert [row[0] for row in world.rows("SELECT DISTINCT partner FROM uoop_orders")] == [RANKING[1]]
    assert world.partners[RANKING[0]].calls == []


def test_who_was_passed_over_need_not_be_recalled(world: World) -> None:
    pause(world, Kind.PARTNER, RANKING[0])
    for partner in RANKING[1:]:
        world.partners[partner].behave(Mood.REFUSE)
    (order,) = world.accept()
    walk_all(world)
    waited = lanes(world)

    run_out_of_time(world)
    walk_all(world)

    assert waited == [f"paused:partner:{RANKING[0]}"]
    assert world.statuses() == {order: "FAILED"}
    assert world.partners[RANKING[0]].calls == []
    assert nothing_stands(world)


def test_orders_wait_while_all_delivery_partners_are_paused_and_go_with_the_first_who_is_resumed(
    world: World,
) -> None:
    pause(world, Kind.PARTNER, *RANKING)
    world.accept(2)
    walk_all(world)
    waited = lanes(world)

    resume(world, Kind.PARTNER, RANKING[2])
    walk_all(world)

    assert waited == [f"paused:partner:{','.join(sorted(RANKING))}"]
    assert confirmed_once(world, 2)
    assert world.rows("SELECT DISTINCT partner FROM uoop_orders") == [(RANKING[2],)]


def test_what_waits_for_paused_delivery_partners_can_be_cancelled(world: World) -> None:
    pause(world, Kind.PARTNER, *RANKING)
    (order,) = world.accept()
    walk_all(world)

    do(world, Act.CANCEL, order)
    walk_all(world)

    assert world.statuses() == {order: "CANCELLED"}
    assert nothing_stands(world)
    assert world.one("SELECT count(*) FROM runs") == 1


def test_a_partner_who_may_have_the_order_is_waited_for(world: World) -> None:
    (order,) = world.accept()
    world.partners[RANKING[0]].behave(Mood.LOSE_ANSWER, times=1)
    world.walk(world.claim_one())
    pause(world, Kind.PARTNER, RANKING[0])
    world.hurry()
    walk_all(world)
    waited = lanes(world)
    world.partners[RANKING[0]].recover()

    resume(world, Kind.PARTNER, RANKING[0])
    walk_all(world)

    assert waited == [f"paused:partner:{RANKING[0]}"]
    assert confirmed_once(world, 1)
    assert world.rows("SELECT id, partner FROM uoop_orders") == [(order, RANKING[0])]


def test_a_recall_waits_for_its_partner_and_the_rest_after_it(world: World) -> None:
    (order,) = world.accept()
    for partner in world.partners.values():
        partner.behave(Mood.LOSE_ANSWER)
    world.walk(world.claim_one())
    pause(world, Kind.PARTNER, RANKING[0])
    world.sql("UPDATE runs SET not_after = now() - interval '1 s', due_at = now()")
    walk_all(world)
    waited, stood = lanes(world), len(world.book.standing())

    resume(world, Kind.PARTNER, RANKING[0])
    walk_all(world)

    assert (waited, stood) == ([f"paused:partner:{RANKING[0]}"], 3)
    assert world.failures()[order]["code"] == "expired"
    assert nothing_stands(world)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Kind.SAGA, FULFILL_ORDER.name), *((Kind.STEP, step) for step in STEPS[:6]), *SOLE_PARTNERS],
)
def test_an_order_whose_time_is_over_while_it_waits_is_given_up(world: World, kind: Kind, name: str) -> None:
    pause(world, kind, name)
    (order,) = world.accept()
    walk_all(world)
    early = world.statuses()

    run_out_of_time(world)
    walk_all(world)

    assert early == {order: "PENDING"}
    assert world.failures()[order]["code"] == "expired"
    assert nothing_stands(world)


def test_a_paused_saga_neither_goes_on_nor_is_undone(world: World) -> None:
    (order,) = world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until="place-with-restaurant")
    pause(world, Kind.SAGA, FULFILL_ORDER.name)
    before = calls(world)
    world.walk(claimed, leg=3)
    run_out_of_time(world)
    walk_all(world)
    waited, called = lanes(world), calls(world) - before

    resume(world, Kind.SAGA, FULFILL_ORDER.name)
    walk_all(world)

    assert (waited, called) == ([f"paused:saga:{FULFILL_ORDER.name}"], 0)
    assert world.failures()[order]["code"] == "expired"
    assert nothing_stands(world)


def test_past_the_pivot_a_paused_order_waits_beyond_its_time(world: World) -> None:
    world.accept()
    pause(world, Kind.STEP, "capture-payment")
    walk_all(world)
    run_out_of_time(world)
    walk_all(world)
    waited = lanes(world)

    resume(world, Kind.STEP, "capture-payment")
    walk_all(world)

    assert waited == ["paused:step:capture-payment"]
    assert confirmed_once(world, 1)


def test_an_execution_that_had_perhaps_called_before_the_pause_is_undone_when_time_is_over(
    world: World,
) -> None:
    (order,) = world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until="place-with-restaurant")

    def die() -> None:
        raise KeyboardInterrupt

    world.kitchens.meanwhile("after do", die)
    with pytest.raises(KeyboardInterrupt):
        world.walk(claimed, leg=3)
    pause(world, Kind.STEP, "place-with-restaurant")
    world.expire_leases()
    walk_all(world)
    run_out_of_time(world)
    walk_all(world)
    waited = lanes(world)
    resume(world, Kind.STEP, "place-with-restaurant")
    walk_all(world)

    assert waited == ["paused:step:place-with-restaurant"]
    assert world.statuses() == {order: "FAILED"}
    assert nothing_stands(world)


def test_a_pause_ends_by_itself(world: World) -> None:
    pause(world, Kind.STEP, "plan-fulfilment", for_s=3600)
    world.accept()
    walk_all(world)
    waited = lanes(world)

    world.sql("UPDATE pauses SET until = now() - interval '1 s'")
    walk_all(world)

    assert waited == ["paused:step:plan-fulfilment"]
    assert confirmed_once(world, 1)
    told = desk(world).paused("default")
    assert told.pauses == []
    assert [(act.act, act.name, act.who) for act in told.acts] == [
        ("resume", "plan-fulfilment", "uoop"),
        ("pause", "plan-fulfilment", "tests"),
    ]


def test_a_departure_that_is_written_after_the_resume_does_not_wait_for_ever(world: World) -> None:
    pause(world, Kind.PARTNER, "kitchens")
    world.accept()
    world.payment.meanwhile("after do", lambda: None)
    claimed = world.claim_one()
    world.walk(claimed, until="place-with-restaurant")
    original = world.engine._finish

    def resumed_first(*arguments: object) -> bool:
        world.engine._finish = original  # type: ignore[method-assign]
        resume(world, Kind.PARTNER, "kitchens")
        return original(*arguments)  # type: ignore[arg-type]

    world.engine._finish = resumed_first  # type: ignore[method-assign]
    world.walk(claimed, leg=3)
    left = lanes(world)

    walk_all(world)

    assert left == ["paused:partner:kitchens"]
    assert confirmed_once(world, 1)


def test_pausing_and_resuming_under_way_loses_and_doubles_nothing(world: World) -> None:
    def work() -> None:
        for _ in range(6):
            world.accept(5)
            walk_all(world, rounds=2)

    def switch(kind: Kind, name: str) -> Callable[[], None]:
        def flip() -> None:
            for _ in range(5):
                pause(world, kind, name)
                resume(world, kind, name)

        return flip

    all_at_once([work, switch(Kind.PARTNER, "benefit"), switch(Kind.PARTNER, RANKING[0])])
    walk_all(world)
    world.settle()

    assert confirmed_once(world, 30)


def test_the_log_of_acts_tells_who_and_why_and_waiting_runs_are_counted_per_tenant(world: World) -> None:
    pause(world, Kind.STEP, "plan-fulfilment", for_s=60)
    pause(world, Kind.STEP, "plan-fulfilment")
    world.accept(2)
    walk_all(world)

    mine, others = desk(world).paused("default"), desk(world).paused("another")

    (told,) = mine.pauses
    assert (told.kind, told.name, told.until, told.who, told.why, told.runs) == (
        Kind.STEP,
        "plan-fulfilment",
        None,
        "tests",
        "because",
        2,
    )
    assert [p.runs for p in others.pauses] == [0]
    assert [(act.act, act.who, act.why) for act in mine.acts] == [("pause", "tests", "because")] * 2


def test_only_what_there_is_can_be_paused_and_only_what_is_paused_resumed(world: World) -> None:
    for kind in Kind:
        with pytest.raises(UnknownName):
            pause(world, kind, "nobody")
    with pytest.raises(NotPaused):
        resume(world, Kind.SAGA, FULFILL_ORDER.name)

    assert world.rows("SELECT FROM ops_acts") == []


def test_what_waits_in_large_numbers_is_lifted_in_parts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "LIFTED_AT_ONCE", 2)
    pause(world, Kind.STEP, "validate-order")
    world.accept(5)
    walk_all(world)

    resume(world, Kind.STEP, "validate-order")
    at_once = world.one("SELECT count(*) FROM runs WHERE due_at <= now() + interval '1 s'")
    walk_all(world)

    assert at_once == 2
    assert confirmed_once(world, 5)


def test_a_waiting_runs_story_tells_for_what_and_until_when(world: World) -> None:
    pause(world, Kind.PARTNER, *RANKING)
    (order,) = world.accept()
    walk_all(world)

    told = Operations(world.db, SAGAS, world.doorbell).story("default", order)

    assert told.next.what == "it waits until partner dhow or falcon or swift is resumed, or its time is over"
    assert (told.next.step, told.next.at) == ("dispatch-to-partner", told.run.not_after)


def test_time_is_taken_from_the_order_not_from_the_pause(world: World) -> None:
    pause(world, Kind.STEP, "plan-fulfilment")
    world.accept()
    walk_all(world)

    assert world.one("SELECT due_at = not_after FROM runs")
    assert world.one("SELECT not_after - now() FROM runs") > timedelta(minutes=10)
