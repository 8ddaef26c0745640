"""A plan is always feasible and never worse than it need be in plain cases."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.optimization.assign import assign
from app.optimization.model import OWN_FLEET, Courier, Job, Partner, Point, Problem

HERE = Point(26.2, 50.6)
CHEAP = Partner(name="cheap", base_fee=0.4, per_km=0.1, speed_m_per_s=5.0)
DEAR = Partner(name="dear", base_fee=0.9, per_km=0.1, speed_m_per_s=5.0)
JOB = Job(run_id=1, tenant_id="a", pickup=HERE, dropoff=Point(26.21, 50.61), prep_s=600.0, wish=None)
COURIER = Courier(id="courier-1", tenant_id="a", at=HERE, free=1)

POINTS = st.builds(Point, st.floats(26.0, 26.4), st.floats(50.4, 50.7))
TENANTS = st.sampled_from(["a", "b"])
JOBS = st.lists(
    st.builds(
        Job,
        run_id=st.just(0),
        tenant_id=TENANTS,
        pickup=st.none() | POINTS,
        dropoff=POINTS,
        prep_s=st.floats(0, 3600),
        wish=st.sampled_from([None, "own_fleet", "partner", "pickup"]),
    ),
    min_size=1,
    max_size=25,
)
COURIERS = st.lists(
    st.builds(
        Courier, id=st.sampled_from(["x", "y", "z"]), tenant_id=TENANTS, at=POINTS, free=st.integers(0, 3)
    ),
    max_size=6,
    unique_by=lambda courier: (courier.tenant_id, courier.id),
)


@settings(max_examples=150, deadline=None)
@given(jobs=JOBS, couriers=COURIERS)
def test_every_plan_is_feasible(jobs: list[Job], couriers: list[Courier]) -> None:
    numbered = tuple(replace(job, run_id=n) for n, job in enumerate(jobs))

    plan = assign(Problem(jobs=numbered, couriers=tuple(couriers), partners=(CHEAP, DEAR)))

    assert [a.run_id for a in plan.assignments] == list(range(len(jobs)))
    taken: Counter[tuple[str, str]] = Counter()
    for job, assignment in zip(numbered, plan.assignments, strict=True):
        assert len(set(assignment.ranking)) == len(assignment.ranking)
        assert {"cheap", "dear"} <= set(assignment.ranking)
        assert assignment.eta_s >= job.prep_s - 0.1
        assert (assignment.courier is not None) == (OWN_FLEET in assignment.ranking)
        assert OWN_FLEET not in assignment.ranking[1:-1]
        if assignment.courier:
            assert job.wish not in ("partner", "pickup")
        if assignment.ranking[0] == OWN_FLEET:
            taken[job.tenant_id, assignment.courier] += 1
    room = {(courier.tenant_id, courier.id): courier.free for courier in couriers}
    assert all(count <= room.get(who, 0) for who, count in taken.items())


def test_a_courier_at_the_door_is_cheaper_than_a_partner() -> None:
    plan = assign(Problem(jobs=(JOB,), couriers=(COURIER,), partners=(CHEAP,)))

    assert plan.assignments[0].ranking == (OWN_FLEET, "cheap")


def test_partners_are_ranked_by_their_cost() -> None:
    plan = assign(Problem(jobs=(JOB,), couriers=(), partners=(DEAR, CHEAP)))

    assert plan.assignments[0].ranking == ("cheap", "dear")


def test_couriers_of_others_do_not_hide_ones_own() -> None:
    others = tuple(Courier(id=f"other-{n}", tenant_id="b", at=HERE, free=9) for n in range(20))
    mine = replace(COURIER, at=Point(26.201, 50.601))

    plan = assign(Problem(jobs=(JOB,), couriers=(*others, mine), partners=(CHEAP,)))

    assert plan.assignments[0].courier == mine.id


@pytest.mark.parametrize("order", [1, -1])
def test_couriers_of_two_tenants_may_have_one_name(order: int) -> None:
    couriers = (COURIER, replace(COURIER, tenant_id="b", free=3))[::order]
    jobs = tuple(replace(JOB, run_id=n) for n in range(3))

    plan = assign(Problem(jobs=jobs, couriers=couriers, partners=(CHEAP,)))

    assert Counter(a.ranking[0] for a in plan.assignments) == {OWN_FLEET: 1, "cheap": 2}


def test_a_courier_who_is_dearer_is_asked_last() -> None:
    far = replace(COURIER, at=Point(26.6, 50.6))

    plan = assign(Problem(jobs=(JOB,), couriers=(far,), partners=(DEAR, CHEAP)))

    assert plan.assignments[0].ranking == ("cheap", "dear", OWN_FLEET)
    assert plan.assignments[0].courier == far.id


def test_only_a_courier_who_has_what_is_needed_may_have_it() -> None:
    by_car = replace(JOB, needs=frozenset({"car"}))
    nearer = tuple(replace(COURIER, id=f"bicycle-{n}") for n in range(9))
    driver = replace(COURIER, id="driver", at=Point(26.21, 50.6), has=frozenset({"car", "cool-box"}))

    (fits,) = assign(Problem(jobs=(by_car,), couriers=(*nearer, driver), partners=(CHEAP,))).assignments
    (nobody,) = assign(Problem(jobs=(by_car,), couriers=nearer, partners=(CHEAP,))).assignments

    assert (fits.ranking[0], fits.courier) == (OWN_FLEET, "driver")
    assert (nobody.ranking, nobody.courier) == (("cheap",), None)
