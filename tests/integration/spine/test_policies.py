"""What the options of a step do to real runs: refusals raised, steps left out, limited or given a time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis
from fake_providers import Mood
from sqlalchemy import Engine as Database
from test_saga import with_step
from world import STAGES, STEPS, World

from app import errors
from app.orders import queries
from app.orders.document import Window
from app.orders.model import LEAD
from app.runs import cohorts
from app.runs.cohorts import Claimed
from app.runs.model import DONE, UNDONE, Member, Outcome
from sagas.definition import Action, Call, OrderAction, Result, Retry, Step, each
from sagas.fulfill_order import FULFILL_ORDER
from sagas.ports import Ports

PLACE = FULFILL_ORDER.steps[STEPS["place-with-restaurant"]]
AUTHORIZE = FULFILL_ORDER.steps[STEPS["authorize-payment"]]


class OutOfStock(Exception):
    """The kitchen's own library says so."""


class Closed(errors.Rejected):
    """The kitchen is closed."""

    code = "kitchen-closed"


def raising(error: Exception, orders: Sequence[str], step: Step = PLACE) -> Action:
    """An action that raises for a cohort in which any of these orders is."""

    def act(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
        if any(member.order_id in orders for member in members):
            raise error
        return step.action(ports, call, members)

    return act


def raising_alone(error: Exception, orders: Sequence[str]) -> OrderAction:
    """An action for one order, which raises for these."""

    def act(_ports: Ports, _call: Call, member: Member) -> Outcome:
        if member.order_id in orders:
            raise error
        return DONE

    return act


def world_with(db: Database, client: "redis.Redis[bytes]", step: Step, *, size: int = 1000) -> World:
    return World.made(db, client, saga=with_step(step), size=size)


def outcomes(world: World, step: str) -> list[tuple[str, str, str]]:
    """Order, verdict and code of every execution of the step."""
    return [
        tuple(row)
        for row in world.rows(
            "SELECT r.order_id, x.verdict, coalesce(x.code, '') FROM outcomes x JOIN runs r ON r.id = x.run_id "
            "WHERE x.step = :step ORDER BY x.cohort_id, x.run_id",
            step=STEPS[step],
        )
    ]


@pytest.mark.parametrize(
    ("error", "code"), [(Closed(), "kitchen-closed"), (OutOfStock(), "out-of-stock")], ids=["ours", "foreign"]
)
@pytest.mark.parametrize("refused_of_nine", [1, 9])
def test_a_refusal_that_is_raised_refuses_those_orders_only(
    db: Database, client: "redis.Redis[bytes]", error: Exception, code: str, refused_of_nine: int
) -> None:
    refused: list[str] = []
    step = replace(PLACE, action=raising(error, refused), rejects=(errors.Rejected, OutOfStock))
    world = world_with(db, client, step)
    orders = world.accept(9)
    refused += orders[:refused_of_nine]

    world.settle()

    failure = {"code": code, "step": PLACE.name, "compensated": True}
    assert world.failures() == dict.fromkeys(refused, failure)
    assert world.held_places() == 9 - refused_of_nine
    assert Counter(world.statuses().values())["CONFIRMED"] == 9 - refused_of_nine


def test_an_error_that_is_not_declared_is_poison(db: Database, client: "redis.Redis[bytes]") -> None:
    poison: list[str] = []
    world = world_with(db, client, replace(PLACE, action=raising(OutOfStock(), poison)))
    poison += world.accept(4)[:1]

    world.settle()

    assert world.states()[poison[0]] == "p"


def test_who_raises_that_somebody_is_away_is_asked_again_and_never_bisected(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    calls: list[int] = []

    def away_once(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
        calls.append(len(members))
        if len(calls) == 1:
            raise errors.Unavailable
        return PLACE.action(ports, call, members)

    world = world_with(db, client, replace(PLACE, action=away_once))
    world.accept(4)

    world.settle()

    assert calls == [4, 4]
    assert set(world.statuses().values()) == {"CONFIRMED"}


@pytest.mark.parametrize(
    ("error", "verdict", "state"),
    [(Closed(), "r", "e"), (errors.Unavailable(), "n", "w"), (ValueError("odd"), "p", "p")],
    ids=["refused", "away", "poison"],
)
def test_an_action_for_one_order_concerns_that_order_alone(
    db: Database, client: "redis.Redis[bytes]", error: Exception, verdict: str, state: str
) -> None:
    raises: list[str] = []
    step = replace(PLACE, action=each(raising_alone(error, raises)), compensation=each(lambda *_: UNDONE))
    world = world_with(db, client, step)
    orders = world.accept(5)
    raises.append(orders[2])

    world.walk(world.claim_one())

    verdicts = {order: said for order, said, _ in outcomes(world, PLACE.name)}
    assert verdicts == {order: verdict if order in raises else "d" for order in orders}
    if state != "e":
        assert world.states()[orders[2]] == state
    assert Counter(world.statuses().values())["CONFIRMED"] == 4


def test_an_action_for_one_order_that_raises_for_all_blames_nobody(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    raises: list[str] = []
    world = world_with(db, client, replace(PLACE, action=each(raising_alone(ValueError("bad"), raises))))
    raises += world.accept(5)

    world.walk(world.claim_one())

    assert set(world.states().values()) == {"w"}
    assert {code for _, _, code in outcomes(world, PLACE.name)} == {"raised-ValueError"}


@pytest.mark.parametrize("mood", [Mood.REFUSE, Mood.SILENT, Mood.UNAVAILABLE], ids=lambda mood: mood.name)
@pytest.mark.parametrize("step", [PLACE, AUTHORIZE], ids=["alone", "in a parallel group"])
def test_an_order_goes_on_without_an_optional_step(
    db: Database, client: "redis.Redis[bytes]", step: Step, mood: Mood
) -> None:
    # whoever takes the money later does not ask for the authorization here
    optional = replace(step, optional=True, unskippable=None, retry=Retry(attempts=3))
    world = world_with(db, client, optional)
    with_it, without = world.accept(2)
    provider = world.kitchens if step is PLACE else world.payment
    provider.behave(mood, orders=[without], resource="placements" if step is PLACE else "authorizations")
    provider.behave(mood, op="find", orders=[without])

    world.settle()

    assert world.statuses() == {with_it: "CONFIRMED", without: "CONFIRMED"}
    said = [verdict for order, verdict, _ in outcomes(world, step.name) if order == without]
    assert said[-1] == "o"
    assert len(said) == (1 if mood is Mood.REFUSE else 3)


def test_an_optional_step_that_raises_is_left_out(db: Database, client: "redis.Redis[bytes]") -> None:
    raises: list[str] = []
    poisonous = replace(PLACE, optional=True, action=raising(ValueError("odd"), raises))
    world = world_with(db, client, poisonous)
    orders = world.accept(4)
    raises.append(orders[0])

    world.settle()

    assert set(world.statuses().values()) == {"CONFIRMED"}
    assert ("raised-ValueError", "o") in {(code, verdict) for _, verdict, code in outcomes(world, PLACE.name)}


def test_what_was_left_out_is_told_and_undone_when_the_order_fails(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    world = world_with(db, client, replace(PLACE, optional=True, retry=Retry(attempts=1)))
    (order,) = world.accept()
    world.kitchens.behave(Mood.LOSE_ANSWER)  # it stands, though nobody heard of it
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE)

    world.settle()

    assert world.failures()[order]["compensated"] is True
    assert world.standing() == []
    assert ("undo", f"{order}:{PLACE.name}:0") in world.kitchens.calls
    steps = {step.name: step for step in view(world, order).steps}
    assert (steps[PLACE.name].status, steps[PLACE.name].attempts) == ("left-out", 1)
    assert steps[f"undo {PLACE.name}"].status == "undone"


def view(world: World, order: str) -> queries.OrderView:
    names = [step.name for step in FULFILL_ORDER.steps]
    with world.db.begin() as connection:
        found = queries.order(
            connection, "default", order, steps=lambda *_: names, stages=lambda *_: "somewhere"
        )
    assert found
    return found


def test_a_refusal_by_the_orders_own_time_is_not_left_out(db: Database, client: "redis.Redis[bytes]") -> None:
    world = world_with(db, client, replace(PLACE, optional=True))
    (order,) = world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=PLACE.name)
    world.sql("UPDATE runs SET not_after = now() - interval '1 s'")

    world.walk(claimed, STAGES[PLACE.name])
    world.settle()

    assert world.failures() == {order: {"code": "expired", "step": PLACE.name, "compensated": True}}


NARROW = f"step:{PLACE.name}"


def narrow(db: Database, client: "redis.Redis[bytes]", concurrency: int) -> World:
    """A world in which so many cohorts of three may be with the kitchens."""
    world = World.made(db, client, saga=with_step(replace(PLACE, concurrency=concurrency)), size=3)
    world.open_lane(NARROW, slots=concurrency)
    return world


def carry_to_the_narrow_step(world: World) -> list[Claimed]:
    """Claim and carry until nobody moves but in the narrow step; the cohorts that are in it."""
    inside: list[Claimed] = []
    for _ in range(40):
        claimed = world.claim()
        inside += [cohort for cohort in claimed if cohort.lane == NARROW]
        for cohort in claimed:
            if cohort.lane != NARROW:
                world.walk(cohort)
        world.hurry()
    return inside


def test_no_more_cohorts_are_in_a_limited_step_than_it_allows(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    world = narrow(db, client, 2)
    world.accept(15)

    inside = carry_to_the_narrow_step(world)

    assert [cohort.itinerary for cohort in inside] == [(STAGES[PLACE.name],)] * 2
    assert world.rows("SELECT lane, count(*) FROM runs WHERE state = 'w' GROUP BY 1") == [(NARROW, 9)]


def test_who_leaves_a_limited_step_makes_room_and_goes_on(db: Database, client: "redis.Redis[bytes]") -> None:
    world = narrow(db, client, 1)
    world.accept(6)
    (inside,) = carry_to_the_narrow_step(world)

    world.walk(inside)
    (following,) = carry_to_the_narrow_step(world)
    world.walk(following)
    world.settle()

    assert set(world.statuses().values()) == {"CONFIRMED"}
    assert world.taken_slots() == 0


@pytest.mark.parametrize("mood", [Mood.SILENT, Mood.UNAVAILABLE], ids=lambda mood: mood.name)
def test_who_comes_again_to_a_limited_step_comes_through_its_lane(
    db: Database, client: "redis.Redis[bytes]", mood: Mood
) -> None:
    world = narrow(db, client, 1)
    (order,) = world.accept()
    world.kitchens.behave(mood, times=1)
    (inside,) = carry_to_the_narrow_step(world)
    world.walk(inside)

    assert world.rows("SELECT lane, attempts FROM runs") == [(NARROW, 1)]
    world.settle()
    assert world.statuses() == {order: "CONFIRMED"}


def test_who_waits_elsewhere_before_a_limited_step_is_sent_into_its_lane(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    """As an operator's act leaves it, or an order that a version without the limit had left waiting."""
    world = narrow(db, client, 1)
    world.accept()
    world.sql(
        "UPDATE runs SET lane = 'retry', stage = :stage, done = 15, touched = 15", stage=STAGES[PLACE.name]
    )

    assert world.claim() == []
    assert world.claim_one().lane == NARROW


def test_a_lane_made_smaller_keeps_its_free_slots_down(world: World) -> None:
    world.open_lane("narrow", slots=5)
    world.sql("UPDATE slots SET cohort_id = 1 WHERE lane = 'narrow' AND n = 4")

    with world.db.begin() as connection:
        cohorts.size_lane(connection, "narrow", slots=2)

    assert world.rows("SELECT n FROM slots WHERE lane = 'narrow' ORDER BY n") == [(1,), (2,), (4,)]


@pytest.mark.parametrize("step", [PLACE, AUTHORIZE], ids=["alone", "in a parallel group"])
def test_an_order_past_its_time_is_undone_before_anybody_is_called_again(
    db: Database, client: "redis.Redis[bytes]", step: Step
) -> None:
    world = world_with(db, client, step)
    (order,) = world.accept()
    for provider in (world.payment, world.kitchens):
        provider.behave(Mood.SILENT)
    world.walk(world.claim_one())
    asked = {provider: len(provider.calls) for provider in (world.payment, world.kitchens)}
    for provider in (world.payment, world.kitchens):
        provider.recover()
    world.sql("UPDATE runs SET not_after = now() - interval '1 s'")

    world.settle()

    assert world.failures()[order]["code"] == "expired"
    assert world.standing() == []
    assert {op for provider, before in asked.items() for op, _ in provider.calls[before:]} == {"undo"}


def test_a_step_is_given_up_when_its_time_is_over(db: Database, client: "redis.Redis[bytes]") -> None:
    world = world_with(db, client, replace(PLACE, retry=Retry(attempts=1000, total_s=60.0)))
    (order,) = world.accept()
    world.kitchens.behave(Mood.UNAVAILABLE)
    world.walk(world.claim_one())
    world.hurry()
    world.walk(world.claim_one())
    since = world.one("SELECT failing_since FROM runs")

    world.sql("UPDATE runs SET failing_since = failing_since - interval '60 s'")
    world.kitchens.recover()
    world.kitchens.behave(Mood.UNAVAILABLE, times=1)
    world.settle()

    assert since is not None
    assert world.failures()[order]["code"] == "unavailable"
    assert world.one("SELECT failing_since FROM runs") is None


def test_progress_forgets_since_when_it_failed(db: Database, client: "redis.Redis[bytes]") -> None:
    world = world_with(db, client, replace(PLACE, retry=Retry(total_s=60.0)))
    (order,) = world.accept()
    world.payment.behave(Mood.UNAVAILABLE, times=1)
    world.kitchens.behave(Mood.UNAVAILABLE, times=1)
    world.walk(world.claim_one())
    world.sql("UPDATE runs SET failing_since = failing_since - interval '1 h'")

    world.hurry()
    world.walk(world.claim_one())

    assert world.rows("SELECT attempts, now() - failing_since < interval '1 min' FROM runs") == [(1, True)]
    world.settle()
    assert world.statuses() == {order: "CONFIRMED"}


def time_given(world: World, order: str) -> timedelta:
    """From acceptance, or from the release for an order of a later window, to the order's end."""
    given = world.one(
        "SELECT r.not_after - greatest(o.created_at, o.window_from - make_interval(secs => :lead)) "
        "FROM runs r JOIN uoop_orders o ON o.id = r.order_id WHERE o.id = :id",
        id=order,
        lead=LEAD.total_seconds(),
    )
    assert isinstance(given, timedelta)
    return given


@pytest.mark.parametrize("ahead", [None, timedelta(minutes=20), timedelta(hours=5)], ids=str)
@pytest.mark.parametrize(("asked_s", "seconds"), [(None, 900), (5, 5), (86_400, 86_400)])
def test_an_order_has_the_time_that_it_asks_for_and_else_its_tenants(
    world: World, ahead: timedelta | None, asked_s: int | None, seconds: int
) -> None:
    start = datetime.now(UTC) + ahead if ahead else None
    window = Window(start=start, until=start + timedelta(hours=1)) if start else None

    (order,) = world.accept(confirm_within_s=asked_s, requested_window=window)

    assert time_given(world, order) == timedelta(seconds=seconds)


def test_an_order_that_is_not_confirmed_in_its_time_is_undone_and_says_so(world: World) -> None:
    hurried, usual = world.accept(confirm_within_s=5)[0], world.accept()[0]
    world.kitchens.behave(Mood.SILENT, times=2)
    world.walk(world.claim_one())
    world.sql("UPDATE runs SET not_after = not_after - interval '10 s'")  # so much time has passed

    world.settle()

    assert world.statuses() == {hurried: "FAILED", usual: "CONFIRMED"}
    failure = view(world, hurried).failure
    assert failure
    assert (failure.code, failure.compensated) == ("expired", True)
    assert all(hurried not in key for key in world.standing())
