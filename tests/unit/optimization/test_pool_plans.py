"""A plan of the pool keeps every limit, is never worse than it need be in plain cases, and says why an order waits."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.optimization.pool import matching, packing
from app.optimization.pool import optimize as optimizing
from app.optimization.pool.model import Courier, Order, Pace, Problem, Spot, Status, Terms, Why
from app.optimization.pool.optimize import Method, due, optimize

PACE = Pace(metres_per_min=300.0, whole_minutes=True)
NOW = 100.0
KITCHEN = Spot(0, 0)
ORDER = Order(id="o1", kitchen="k1", pickup=KITCHEN, door=Spot(1_500, 0), placed=95, ready=110)
COURIER = Courier(id="c1", at=Spot(0, 900), free_at=NOW, off_at=400)


def problem(orders: list[Order], couriers: list[Courier], terms: Terms | None = None) -> Problem:
    return Problem(now=NOW, orders=tuple(orders), couriers=tuple(couriers), pace=PACE, terms=terms or Terms())


SPOTS = st.builds(Spot, st.integers(-4_000, 4_000), st.integers(-4_000, 4_000))
KITCHENS = {"k1": KITCHEN, "k2": Spot(2_000, 500)}
ORDERS = st.lists(
    st.builds(
        lambda kitchen, door, placed, cooking, needs, refused, not_after, due, holder: Order(
            id="",
            kitchen=kitchen,
            pickup=KITCHENS[kitchen],
            door=door,
            placed=placed,
            ready=placed + cooking,
            needs=needs,
            refused_by=refused,
            not_after=not_after,
            due=due,
            held_by=holder,
            pinned=holder == "c1",
        ),
        st.sampled_from(sorted(KITCHENS)),
        SPOTS,
        st.integers(70, 100),
        st.integers(0, 40),
        st.sampled_from([frozenset(), frozenset({"car"})]),
        st.sampled_from([frozenset(), frozenset({"c0"})]),
        st.sampled_from([None, 150.0]),
        st.sampled_from([None, 120.0]),
        st.sampled_from([None, "c0", "c1"]),
    ),
    max_size=14,
)
COURIERS = st.lists(
    st.builds(
        lambda at, free_at, off_at, room, has: Courier(
            id="", at=at, free_at=free_at, off_at=off_at, max_orders=room, has=has
        ),
        SPOTS,
        st.integers(80, 120),
        st.integers(100, 200),
        st.integers(1, 3),
        st.sampled_from([frozenset(), frozenset({"car"})]),
    ),
    max_size=6,
)


@settings(max_examples=120, deadline=None)
@given(orders=ORDERS, couriers=COURIERS, method=st.sampled_from(Method), packed=st.sampled_from([0, 160]))
def test_every_plan_keeps_every_limit(
    orders: list[Order], couriers: list[Courier], method: Method, packed: int
) -> None:
    by_id = {f"o{n}": replace(order, id=f"o{n}") for n, order in enumerate(orders)}
    who = {f"c{n}": replace(courier, id=f"c{n}") for n, courier in enumerate(couriers)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizing, "PACKED_AT_MOST", packed)
        plan = optimize(problem(list(by_id.values()), list(who.values())), method)

    going = [id for trip in plan.trips for id in trip.orders]
    assert sorted([*going, *plan.left]) == sorted(by_id)
    assert all(count == 1 for count in Counter(trip.courier for trip in plan.trips).values())
    for trip in plan.trips:
        courier, mine = who[trip.courier], [by_id[id] for id in trip.orders]
        assert len(mine) <= (1 if method is Method.ASSIGNMENT else courier.max_orders)
        assert {order.kitchen for order in mine} == {trip.kitchen}
        assert max(order.ready for order in mine) <= trip.pickup_at <= courier.off_at
        assert courier.free_at <= trip.leave_by <= trip.pickup_at
        for order, door in zip(mine, trip.doors, strict=True):
            assert order.needs <= courier.has
            assert not order.pinned or order.held_by == courier.id
            assert courier.id not in order.refused_by
            assert order.not_after is None or door <= order.not_after
            waits = max(other.ready for other in mine) - order.ready
            assert waits + door - trip.pickup_at <= Terms().bag_min or len(mine) == 1


def test_the_courier_who_is_there_first_goes() -> None:
    far = replace(COURIER, id="c2", at=Spot(0, 9_000))

    plan = optimize(problem([ORDER], [far, COURIER]))

    (trip,) = plan.trips
    assert (trip.courier, trip.next_best) == ("c1", "c2")
    assert (trip.pickup_at, trip.doors) == (110, (110 + 2 + 5 + 2,))
    assert trip.within[0][0] < trip.doors[0] < trip.within[0][1]


def test_he_leaves_when_he_must_and_not_before() -> None:
    plan = optimize(problem([ORDER], [COURIER]))

    assert [trip.leave_by for trip in plan.trips] == [110 - 2 - 3]
    assert not due(plan, 104)
    assert due(plan, 105)


def test_an_unsure_kitchen_is_reached_earlier() -> None:
    plan = optimize(problem([replace(ORDER, spread_min=3)], [COURIER]))

    assert [trip.leave_by for trip in plan.trips] == [110 - 2 - 3 - 3]


def test_one_courier_takes_neighbours_in_one_bundle() -> None:
    neighbour = replace(ORDER, id="o2", door=Spot(1_600, 0))

    plan = optimize(problem([ORDER, neighbour], [COURIER]))

    assert [trip.orders for trip in plan.trips] == [("o1", "o2")]


@pytest.mark.parametrize(
    ("other", "terms"),
    [
        ({"door": Spot(-9_000, 0)}, Terms()),  # a detour
        ({"ready": 140}, Terms()),  # too far apart
        ({"kitchen": "k2", "pickup": Spot(10, 0)}, Terms()),
        ({}, Terms(largest_bundle=1)),
        ({}, Terms(bag_min=5)),
    ],
)
def test_what_does_not_go_together_is_not_bundled(other: dict[str, object], terms: Terms) -> None:
    second = replace(ORDER, id="o2", **other)  # type: ignore[arg-type]

    plan = optimize(problem([ORDER, second], [COURIER], terms))

    assert [len(trip.orders) for trip in plan.trips] == [1]
    assert list(plan.left.values()) == [Why.ALL_BUSY]


def test_a_pinned_order_stays_with_its_courier() -> None:
    far = replace(COURIER, id="c2", at=Spot(0, 9_000))

    plan = optimize(problem([replace(ORDER, held_by="c2", pinned=True)], [COURIER, far]))

    assert [trip.courier for trip in plan.trips] == ["c2"]


@pytest.mark.parametrize(("held_by", "goes"), [("c1", "c1"), ("c2", "c2")])
def test_an_order_does_not_change_hands_for_nothing(held_by: str, goes: str) -> None:
    twin = replace(COURIER, id="c2")

    plan = optimize(problem([replace(ORDER, held_by=held_by)], [COURIER, twin]))

    assert [trip.courier for trip in plan.trips] == [goes]


@pytest.mark.parametrize(
    ("order", "couriers", "why"),
    [
        (ORDER, [], Why.NO_COURIER),
        (replace(ORDER, needs=frozenset({"car"})), [COURIER], Why.NOT_FIT),
        (replace(ORDER, refused_by=frozenset({"c1"})), [COURIER], Why.NOT_FIT),
        (ORDER, [replace(COURIER, off_at=105)], Why.NOT_IN_TIME),
        (replace(ORDER, not_after=112), [COURIER], Why.NOT_IN_TIME),
    ],
)
def test_an_order_that_nobody_takes_says_why(order: Order, couriers: list[Courier], why: Why) -> None:
    assert optimize(problem([order], couriers)).left == {"o1": why}


def test_what_is_late_already_goes_before_what_is_not() -> None:
    late = replace(ORDER, id="o2", kitchen="k2", due=100)

    plan = optimize(problem([ORDER, late], [COURIER]))

    assert [trip.orders for trip in plan.trips] == [("o2",)]


def test_a_courier_is_kept_for_what_comes_after() -> None:
    """One trip after the other by him who is near ends sooner than a trip each, one of them from far away."""
    first = replace(ORDER, ready=100, door=Spot(300, 0))
    second = replace(ORDER, id="o2", kitchen="k2", pickup=Spot(600, 0), door=Spot(900, 0), ready=112)
    far = replace(COURIER, id="c2", at=Spot(0, 15_000))

    plan = optimize(problem([first, second], [COURIER, far]))

    assert [(trip.courier, trip.orders) for trip in plan.trips] == [("c1", ("o1",))]


def test_an_order_that_would_be_too_late_as_the_second_goes_first() -> None:
    """Each alone, and without its end also together, the other one would be fetched first."""
    first = replace(ORDER, ready=100, door=Spot(300, 0))
    second = replace(ORDER, id="o2", kitchen="k2", pickup=Spot(600, 0), door=Spot(900, 0), ready=104)

    free = optimize(problem([first, second], [COURIER]))
    bound = optimize(problem([first, replace(second, not_after=112)], [COURIER]))

    assert [trip.orders for trip in free.trips] == [("o1",)]
    assert [trip.orders for trip in bound.trips] == [("o2",)]


CAR = frozenset({"car"})
HELD = replace(ORDER, held_by="near")
TWO = [HELD, replace(HELD, id="o2", door=Spot(1_600, 0))]
STICKY = Terms(changed=100, late=10)  # who has it keeps it, though another is 23 minutes earlier


@pytest.mark.parametrize(
    ("orders", "near", "terms", "by"),
    [
        pytest.param([HELD], {}, STICKY, {"near": 1}, id="none, of one order"),
        pytest.param(TWO, {}, STICKY, {"near": 2}, id="none, of two orders"),
        pytest.param([replace(HELD, not_after=140)], {}, STICKY, {"far": 1}, id="hard window"),
        pytest.param([replace(HELD, due=100)], {}, STICKY, {"far": 1}, id="soft window"),
        pytest.param([HELD], {"off_at": 134}, STICKY, {"far": 1}, id="end of shift"),
        pytest.param([replace(HELD, needs=CAR)], {}, STICKY, {"far": 1}, id="vehicle or skill"),
        pytest.param([replace(HELD, refused_by=frozenset({"near"}))], {}, STICKY, {"far": 1}, id="refusal"),
        pytest.param([HELD], {"free_at": 100}, Terms(), {"near": 1}, id="none, of what is near"),
        pytest.param(
            [replace(ORDER, held_by="far", pinned=True)], {"free_at": 100}, Terms(), {"far": 1}, id="pin"
        ),
        pytest.param(TWO, {"max_orders": 1, "off_at": 140}, STICKY, {"near": 1, "far": 1}, id="room"),
        pytest.param(
            [replace(TWO[0], held_by="far", pinned=True), replace(TWO[1], needs=CAR, not_after=150)],
            {"has": CAR, "max_orders": 1, "off_at": 140},
            STICKY,
            {"near": 1, "far": 1},
            id="pin, skill, room, window and shift in one",
        ),
    ],
)
def test_the_packing_itself_keeps_each_side_constraint(
    orders: list[Order], near: dict[str, Any], terms: Terms, by: dict[str, int]
) -> None:
    """Beside each stands what would be planned without it."""
    couriers = [
        replace(COURIER, **{"id": "near", "free_at": 130, **near}),
        replace(COURIER, id="far", at=Spot(0, 3_000), off_at=120, has=CAR),
    ]

    plan = optimize(problem(orders, couriers, terms))

    assert plan.status in (Status.OPTIMAL, Status.ROUNDED)
    assert not plan.fallback
    assert Counter(trip.courier for trip in plan.trips for _ in trip.orders) == by


@pytest.mark.parametrize("status", [Status.MATCHED, Status.GREEDY])
def test_without_a_solution_in_time_a_simpler_plan_stands(
    monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    monkeypatch.setattr(packing, "pack", lambda *_, **__: None)
    if status is Status.GREEDY:
        monkeypatch.setattr(matching, "match", lambda *_: None)

    plan = optimize(problem([ORDER], [COURIER]))

    assert (plan.fallback, plan.status) == (True, status)
    assert [trip.orders for trip in plan.trips] == [("o1",)]


def test_beyond_the_cap_the_oldest_are_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizing, "PLANNED_AT_MOST", 1)
    older = replace(ORDER, id="o2", placed=90)

    plan = optimize(problem([ORDER, older], [COURIER]))

    assert plan.left == {"o1": Why.CAPPED}


def test_the_fast_path_bundles_only_where_couriers_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizing, "PACKED_AT_MOST", 0)
    neighbour = replace(ORDER, id="o2", door=Spot(1_600, 0))

    few = optimize(problem([ORDER, neighbour], [COURIER]))
    enough = optimize(problem([ORDER, neighbour], [COURIER, replace(COURIER, id="c2")]))

    assert [len(trip.orders) for trip in few.trips] == [2]
    assert [len(trip.orders) for trip in enough.trips] == [1, 1]
    assert few.status is Status.MATCHED
