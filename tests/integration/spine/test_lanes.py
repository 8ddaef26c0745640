"""Claims: who travels with whom, how many cohorts at a time, and a fair share for everybody."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
import redis
from fake_providers import Mood
from sqlalchemy import Engine as Database
from sqlalchemy import create_engine
from together import all_at_once, at_once
from world import START, World, submission

from app.orders import accept
from app.runs import cohorts, pressure
from app.runs.cohorts import Claimed
from app.runs.model import EXPRESS, FRONT, Direction


def lanes_of(world: World, claimed: list[Claimed]) -> Counter[str]:
    rows = world.rows("SELECT lane FROM cohorts WHERE id = ANY(:ids)", ids=[c.id for c in claimed])
    return Counter(row[0] for row in rows)


def claimed_tenants(world: World, claimed: Claimed) -> Counter[str]:
    rows = world.rows("SELECT tenant_id FROM runs WHERE cohort_id = :id", id=claimed.id)
    return Counter(row[0] for row in rows)


def add_tenants(world: World, *names: str) -> None:
    for name in names:
        world.sql("INSERT INTO tenants (id, name) VALUES (:id, :id)", id=name)


def test_a_lane_holds_no_more_cohorts_than_slots(world: World) -> None:
    claimed: list[Claimed] = []
    for _ in range(6):
        world.accept()
        claimed += world.claim()

    assert lanes_of(world, claimed) == {"front": 3}
    assert world.taken_slots() == 3
    assert Counter(world.states().values()) == {"t": 3, "w": 3}


def test_what_waited_for_a_slot_travels_together(world: World) -> None:
    for _ in range(3):
        world.accept()
        world.claim()
    world.accept(5)
    world.claim()
    world.walk(*first_travelling(world))

    claimed = world.claim_one()

    assert world.one("SELECT size FROM cohorts WHERE id = :id", id=claimed.id) == 5


def first_travelling(world: World) -> tuple[Claimed]:
    row = world.rows("SELECT * FROM cohorts WHERE ended_at IS NULL ORDER BY id LIMIT 1")[0]
    return (
        Claimed(
            row.id,
            row.epoch,
            row.saga,
            row.version,
            Direction(row.direction),
            row.lane,
            tuple(row.itinerary),
            row.size,
        ),
    )


@pytest.mark.parametrize("mood", [None, Mood.REFUSE, Mood.SILENT])
def test_a_slot_is_freed_in_the_transaction_that_ends_the_cohort(world: World, mood: Mood | None) -> None:
    world.accept()
    claimed = world.claim_one()
    if mood:
        world.payment.behave(mood)

    world.walk(claimed)

    assert world.taken_slots() == 0
    # the row versions were written by the same transaction
    assert world.one("SELECT c.xmin = s.xmin FROM cohorts c, slots s WHERE (s.lane, s.n) = ('front', 1)")


def test_a_cohort_has_no_more_members_than_allowed(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client, size=4)
    world.accept(10)

    sizes = []
    for _ in range(3):
        world.claim()
        sizes = [row[0] for row in world.rows("SELECT size FROM cohorts ORDER BY id")]

    assert sizes == [4, 4, 2]


def test_a_lane_waits_its_interval_and_says_how_long(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client, interval_s=600.0)
    world.accept()
    first_wait = world.engine.claim()
    world.accept()

    second_wait = world.engine.claim()

    assert len(world.carrier.sent) == 1
    assert first_wait is not None
    assert second_wait is not None
    assert 600 <= first_wait < 610
    assert first_wait - 100 < second_wait <= first_wait


def test_a_lane_rests_longer_after_a_big_cohort(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client, interval_s=600.0)
    world.accept(cohorts.BIG)
    after_big = world.engine.claim()
    world.accept()

    still = world.engine.claim()

    assert after_big == 600 * cohorts.LONGEST_REST
    assert still is not None
    assert after_big - 100 < still <= after_big


def test_a_lane_does_not_linger_after_a_cohort_that_had_no_room_for_all(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    world = World.made(db, client, interval_s=600.0, size=cohorts.BIG)
    world.accept(cohorts.BIG + 1)

    assert world.engine.claim() == 600


def test_claimers_at_once_keep_the_interval(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client, size=1, interval_s=600.0)
    world.accept(8)

    at_once(world.engine.claim, 6)

    assert world.one("SELECT count(*) FROM cohorts") == 1


def test_who_comes_second_finds_the_interval_begun(world: World) -> None:
    """He has seen the lane free, as `claim` does before it takes each, but another was quicker."""
    world.accept()
    world.claim()
    world.accept()
    with world.db.begin() as connection:
        late = cohorts.claim(connection, "front", size=9, itinerary=lambda _: (0,), interval_s=600.0)

    assert late is None


def test_nothing_waits_and_nobody_is_told_to_come_again(world: World) -> None:
    assert world.engine.claim() is None


def test_a_run_is_not_claimed_before_it_is_due(world: World) -> None:
    world.accept()
    world.sql("UPDATE runs SET due_at = now() + interval '1 h'")

    assert world.claim() == []


@pytest.mark.parametrize(
    "change", ["saga = 'another'", "version = 2", "stage = 2", "direction = 'b', touched = 2"], ids=str
)
def test_only_runs_of_one_group_travel_together(world: World, change: str) -> None:
    first, second, third = world.accept(3)
    world.sql(f"UPDATE runs SET {change}, due_at = due_at + interval '1 ms' WHERE order_id = :id", id=second)
    world.sql("UPDATE runs SET due_at = due_at - interval '1 s'")

    with world.db.begin() as connection:
        cohorts.claim(connection, "front", size=10, itinerary=lambda _: (0,))

    assert world.states() == {first: "t", second: "w", third: "t"}


def test_undoing_runs_travel_together_wherever_they_stand(world: World) -> None:
    orders = world.accept(3)
    for n, order in enumerate(orders):
        world.sql(
            "UPDATE runs SET direction = 'b', stage = :n, touched = 2 WHERE order_id = :id", n=n, id=order
        )

    with world.db.begin() as connection:
        cohorts.claim(connection, "front", size=10, itinerary=lambda _: (0,))

    assert set(world.states().values()) == {"t"}


def test_tenants_share_a_cohort_fairly(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client, size=9)
    add_tenants(world, "small", "tiny")
    world.accept(30)
    world.accept(30, tenant="small")
    world.accept(1, tenant="tiny")
    first = claimed_tenants(world, world.claim_one())

    assert first["tiny"] == 1
    assert first["small"] >= 3
    assert first["default"] >= 3
    assert first.total() == 9


def test_one_tenant_alone_takes_the_whole_cohort(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client, size=9)
    add_tenants(world, "absent")
    world.accept(30)

    assert claimed_tenants(world, world.claim_one()) == {"default": 9}


def test_with_more_tenants_than_places_nobody_takes_two(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client, size=3)
    names = [f"tenant-{n}" for n in range(7)]
    add_tenants(world, *names)
    for name in names:
        world.accept(2, tenant=name)

    assert claimed_tenants(world, world.claim_one()).most_common(1)[0][1] == 1


def test_claimers_at_once_never_take_a_run_twice(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client, size=7)
    world.open_lane("front", slots=12)
    world.accept(60)

    at_once(world.engine.claim, 8)
    for _ in range(10):
        world.engine.claim()

    assert world.one("SELECT max(cardinality(trail)) FROM runs") == 1
    assert world.one("SELECT sum(size) FROM cohorts") == 60
    assert world.one("SELECT count(DISTINCT cohort_id) = count(cohort_id) FROM slots")


def test_claims_and_departures_at_once_do_not_deadlock(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client, size=5)
    orders = world.accept(40)
    world.payment.behave(Mood.REFUSE, orders=orders[::2])

    def work() -> None:
        for _ in range(12):
            world.engine.claim()
            while world.carrier.sent:
                try:
                    claimed, leg = world.carrier.sent.pop()
                except IndexError:
                    break
                world.walk(claimed, leg)

    all_at_once([work] * 4)
    world.settle()

    assert Counter(world.statuses().values()) == {"CONFIRMED": 20, "FAILED": 20}
    assert world.taken_slots() == 0


def test_a_failed_run_waits_in_the_lane_of_who_was_silent(world: World) -> None:
    by_payment, by_kitchen = world.accept(2)
    world.payment.behave(Mood.UNAVAILABLE, orders=[by_payment])
    world.kitchens.behave(Mood.SILENT, orders=[by_kitchen])
    world.walk(world.claim_one())

    lanes = {row[0]: row[1] for row in world.rows("SELECT order_id, lane FROM runs")}

    assert lanes == {by_payment: "provider:benefit", by_kitchen: "provider:kitchens"}


def test_retries_come_due_in_quarters_of_a_second(world: World) -> None:
    world.accept(20)
    world.payment.behave(Mood.UNAVAILABLE)
    world.walk(world.claim_one())

    assert world.one("SELECT bool_and(date_bin('250 ms', due_at, 'epoch') = due_at) FROM runs")


def test_pressure_is_the_age_of_who_waits_longest_in_any_tenant(world: World) -> None:
    add_tenants(world, "another")
    world.accept()
    world.accept(tenant="another")
    world.sql("UPDATE runs SET due_at = now() - interval '5 s' WHERE tenant_id = 'another'")
    world.sql("UPDATE runs SET due_at = now() + interval '5 s' WHERE tenant_id = 'default'")

    with world.db.begin() as connection:
        age_s = pressure.oldest_age_s(connection)

    assert 5 <= age_s < 65


def test_nobody_waits_and_there_is_no_pressure(world: World) -> None:
    with world.db.begin() as connection:
        assert pressure.oldest_age_s(connection) == 0.0


def test_only_the_tenant_whose_orders_wait_too_long_is_turned_away(
    world: World, eventually: Callable[..., object]
) -> None:
    add_tenants(world, "another")
    world.accept()
    world.accept(tenant="another")
    wait_for(world, "another", 5)
    pass_by(world)

    found = looking(world, claim=1000)

    eventually(lambda: found.retry_after_s("another") is not None)
    assert found.retry_after_s("default") is None


def test_a_tenant_with_few_orders_does_not_wait_behind_anothers_crowd(
    world: World, eventually: Callable[..., object]
) -> None:
    add_tenants(world, "another", "third")
    world.accept(4)
    found = looking(world, claim=3)

    eventually(lambda: found.lane("another") == EXPRESS)
    assert (found.lane("default"), found.lane("third")) == (FRONT, EXPRESS)


def test_who_fills_the_express_lane_waits_at_the_front_again(
    world: World, eventually: Callable[..., object]
) -> None:
    add_tenants(world, "another", "third")
    world.accept(4)
    with world.db.begin() as connection:
        start = replace(START, lane=lambda _: EXPRESS)
        accept.accept(connection, [submission(tenant="another") for _ in range(pressure.FEW + 1)], start)
    found = looking(world, claim=3)

    eventually(lambda: found.lane("third") == EXPRESS)
    assert found.lane("another") == FRONT


def test_an_order_in_the_express_lane_is_carried_as_any_other(world: World) -> None:
    with world.db.begin() as connection:
        cohorts.open_lane(connection, EXPRESS, slots=1)
        accept.accept(connection, [submission()], replace(START, lane=lambda _: EXPRESS))

    world.walk(world.claim_one())

    assert set(world.statuses().values()) == {"CONFIRMED"}


@pytest.mark.parametrize(
    ("orders", "age_s", "passed", "too_much"),
    [
        (1, 5, True, True),
        (1, 3, True, False),
        (1, 5, False, False),
        (1, 16, False, True),
        (3, 3, False, False),
        (4, 3, False, True),
        (4, 1, True, False),
    ],
)
def test_a_standstill_is_borne_for_a_while_and_an_overload_is_not(
    world: World, orders: int, age_s: int, passed: bool, too_much: bool
) -> None:
    world.accept(orders)
    wait_for(world, "default", age_s)
    if passed:
        pass_by(world)

    with world.db.begin() as connection:
        found = pressure.waiting(connection, room=3)["default"]

    assert found.is_too_much(4.0, room=3) is too_much


def test_who_is_let_in_between_two_looks_is_counted(world: World, eventually: Callable[..., object]) -> None:
    world.accept(2)
    wait_for(world, "default", 3)
    found = looking(world, claim=3, shed_above_s=0.5)

    eventually(lambda: [found.retry_after_s("default") for _ in range(10)][-1] is not None)
    eventually(lambda: found.retry_after_s("default") is None)


def looking(world: World, *, claim: int, shed_above_s: float = 4.0) -> pressure.Pressure:
    """One with a database connection of its own: it never ends, and other tests count what the world's is asked."""
    own = create_engine(world.db.url, pool_size=1)
    return pressure.Pressure(own, shed_above_s=shed_above_s, claim=claim)


def wait_for(world: World, tenant: str, seconds: int) -> None:
    world.sql(
        "UPDATE runs SET due_at = now() - make_interval(secs => :age) WHERE tenant_id = :tenant",
        tenant=tenant,
        age=seconds,
    )


def pass_by(world: World) -> None:
    world.sql("UPDATE lanes SET started_at = now() WHERE name = 'front'")
