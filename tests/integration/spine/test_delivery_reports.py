"""The life of a delivery as it is reported."""

import random
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from together import at_once
from world import RANKING, World

from app.deliveries import queries, service
from app.deliveries.model import Fate, Report, Reporter
from app.deliveries.service import Applied
from sagas.deliveries import REROUTE_BY

PARTNER, OTHER, _ = RANKING
LIFE = ("PREPARING", "READY_FOR_PICKUP", "PICKED_UP", "IN_TRANSIT", "DELIVERED")
_events = count()


def report(
    order: str,
    what: str,
    *,
    by: str = PARTNER,
    reporter: Reporter = Reporter.PARTNER,
    event: str | None = None,
) -> Report:
    return Report(
        reporter=reporter,
        by=by,
        event_id=event or f"event-{next(_events)}",
        order=order,
        what=what,
        at=datetime.now(UTC),
    )


def store(world: World, *reports: Report) -> int:
    with world.db.begin() as connection:
        return service.store(connection, reports)


def apply(world: World, *, limit: int = 1000) -> Applied:
    with world.db.begin() as connection:
        service.wake(connection)
        return service.apply(connection, REROUTE_BY, limit=limit)


def tell(world: World, *reports: Report) -> Applied:
    store(world, *reports)
    return apply(world)


def confirmed(world: World, number: int = 1) -> list[str]:
    orders = world.accept(number)
    world.settle()
    return orders


def fates(world: World) -> list[tuple[str, str | None]]:
    return [
        (Fate(state).name, reason)
        for state, reason in world.rows("SELECT state, reason FROM delivery_reports ORDER BY id")
    ]


def events(world: World, order: str) -> list[tuple[int, str]]:
    return [
        (row[0], row[1])
        for row in world.rows("SELECT sequence, type FROM outbox_in WHERE order_id = :o ORDER BY id", o=order)
    ]


def test_a_delivery_goes_its_way_with_an_event_for_every_move(world: World) -> None:
    (order,) = confirmed(world)

    for what in LIFE:
        tell(world, report(order, what))

    assert world.statuses() == {order: "DELIVERED"}
    assert events(world, order) == [
        (1, "order.accepted"),
        (2, "order.confirmed"),
        (3, "order.preparing"),
        (4, "order.ready-for-pickup"),
        (5, "order.picked-up"),
        (6, "order.in-transit"),
        (7, "order.delivered"),
    ]


def test_reports_of_one_batch_are_moves_of_their_own(world: World) -> None:
    (order,) = confirmed(world)

    tell(world, *(report(order, what) for what in LIFE))

    assert [sequence for sequence, _ in events(world, order)] == [1, 2, 3, 4, 5, 6, 7]
    assert world.one("SELECT version FROM uoop_orders") == 7


def test_a_report_that_comes_twice_is_kept_once(world: World) -> None:
    (order,) = confirmed(world)
    again = [report(order, "PICKED_UP", event="e1"), report(order, "PICKED_UP", event="e1")]

    kept = [store(world, *again), store(world, *again)]

    assert kept == [1, 0]
    assert apply(world).fates == {Fate.APPLIED: 1}


def test_of_the_same_report_told_by_many_at_once_one_is_kept(world: World) -> None:
    (order,) = confirmed(world)
    one = report(order, "PICKED_UP")

    kept = at_once(lambda: store(world, one), 8)

    assert sum(kept) == 1


def test_two_partners_may_use_the_same_event_id(world: World) -> None:
    first, second = report("a", "PICKED_UP", event="e1"), report("b", "PICKED_UP", by=OTHER, event="e1")

    assert store(world, first, second) == 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.lists(st.sampled_from(LIFE), max_size=6), st.integers(1, 4))
def test_any_shuffle_with_duplicates_ends_alike(
    world: World, chance: random.Random, again: list[str], batch: int
) -> None:
    (order,) = world.accept()
    reports = [report(order, what, event=f"{order}-{what}") for what in LIFE]
    reports += [report(order, what) for what in again]
    chance.shuffle(reports)
    early = chance.randrange(len(reports))  # so many come before the order is confirmed
    store(world, *reports[:early])
    apply(world)
    world.settle()
    for told in reports[early:]:
        store(world, told)

    while apply(world, limit=batch).reports:
        pass

    assert world.statuses()[order] == "DELIVERED"
    sequences = [sequence for sequence, _ in events(world, order)]
    moves = [LIFE.index(kind[6:].replace("-", "_").upper()) for _, kind in events(world, order)[2:]]
    assert sequences == list(range(1, len(sequences) + 1))
    assert moves == sorted(set(moves))
    assert world.one("SELECT count(*) FROM delivery_reports WHERE state NOT IN ('a', 's')") == 0


def test_reports_from_before_the_confirmation_wait_for_it(world: World) -> None:
    (order,) = world.accept()
    tell(world, report(order, "PREPARING"))
    waiting = fates(world)
    world.settle()

    apply(world)

    assert waiting == [("WAITING", None)]
    assert world.statuses() == {order: "PREPARING"}


def test_reports_of_an_order_that_fails_are_parked(world: World) -> None:
    (order,) = world.accept()
    tell(world, report(order, "PREPARING"))
    world.sql("UPDATE runs SET cancel_requested = true")
    world.settle()

    apply(world)

    assert world.statuses() == {order: "CANCELLED"}
    assert fates(world) == [("PARKED", "order-not-under-way")]


@pytest.mark.parametrize(
    ("by", "what", "reason"),
    [
        (OTHER, "PICKED_UP", "other-partner"),
        (PARTNER, "EATEN", "unknown-state"),
        (PARTNER, "SILENT", "not-theirs-to-report"),
    ],
)
def test_an_impossible_report_is_parked_and_moves_nothing(
    world: World, by: str, what: str, reason: str
) -> None:
    (order,) = confirmed(world)

    tell(world, report(order, what, by=by))

    assert fates(world) == [("PARKED", reason)]
    assert world.statuses() == {order: "CONFIRMED"}
    with world.db.begin() as connection:
        (group,) = queries.parked(connection, "default")
    assert (group.reason, group.by, group.reports, group.sample) == (reason, by, 1, order)


def test_a_report_may_name_the_dispatch(world: World) -> None:
    (order,) = confirmed(world)

    tell(world, report(f"{order}:dispatch-to-partner:{PARTNER}:0", "PICKED_UP"))

    assert world.statuses() == {order: "PICKED_UP"}


def test_the_restaurant_reports_what_is_its_own(world: World) -> None:
    (order,) = confirmed(world)
    kitchen = {"by": "kitchens", "reporter": Reporter.RESTAURANT}

    tell(world, report(order, "READY_FOR_PICKUP", **kitchen), report(order, "DELIVERED", **kitchen))

    assert world.statuses() == {order: "READY_FOR_PICKUP"}
    assert fates(world) == [("APPLIED", None), ("PARKED", "not-theirs-to-report")]


def test_a_courier_of_our_own_reports_too(world: World) -> None:
    world.add_courier()
    (order,) = confirmed(world)

    tell(world, report(order, "PICKED_UP", by="own-fleet"))

    assert world.statuses() == {order: "PICKED_UP"}


def test_an_order_that_somebody_holds_delays_only_its_own_reports(world: World) -> None:
    held, free = confirmed(world, 2)
    store(world, report(held, "PICKED_UP"), report(free, "PICKED_UP"))

    with world.db.begin() as connection:
        connection.exec_driver_sql(f"SELECT FROM uoop_orders WHERE id = '{held}' FOR UPDATE")
        while_held = apply(world)
    afterwards = apply(world)

    assert (while_held.reports, afterwards.reports) == (1, 1)
    assert world.statuses() == {held: "PICKED_UP", free: "PICKED_UP"}


def test_many_at_once_apply_each_report_once(world: World) -> None:
    orders = confirmed(world, 40)
    store(world, *(report(order, what) for order in orders for what in LIFE))

    first = at_once(lambda: apply(world, limit=20), 8)
    applied = sum(each.fates.get(Fate.APPLIED, 0) for each in first)
    while (more := apply(world, limit=50)).reports:
        applied += more.fates.get(Fate.APPLIED, 0)

    assert set(world.statuses().values()) == {"DELIVERED"}
    assert world.one("SELECT count(*) FROM outbox_in WHERE sequence > 2") == applied
    assert world.one("SELECT sum(version) FROM uoop_orders") == world.one("SELECT count(*) FROM outbox_in")


def test_an_operator_takes_a_parked_report_up_again_or_leaves_it(world: World) -> None:
    (order,) = confirmed(world)
    tell(world, report(order, "PICKED_UP", by=OTHER), report("nobody", "PICKED_UP"))
    again, dismissed = (row[0] for row in world.rows("SELECT id FROM delivery_reports ORDER BY id"))
    world.sql("UPDATE uoop_orders SET partner = :p", p=OTHER)

    with world.db.begin() as connection:
        taken = service.settle(connection, "default", [again], Fate.NEW, who="fatima", why="he has it")
        left = service.settle(connection, "default", [dismissed], Fate.DISMISSED, who="fatima", why="a test")
        foreign = service.settle(connection, "other", [again, dismissed], Fate.NEW, who="x", why="not his")
    apply(world)

    assert (taken, left, foreign) == (1, 1, 0)
    assert [fate for fate, _ in fates(world)] == ["APPLIED", "DISMISSED"]
    acts = world.rows("SELECT acts -> 0 ->> 'who', acts -> 0 ->> 'why' FROM delivery_reports ORDER BY id")
    assert [tuple(act) for act in acts] == [("fatima", "he has it"), ("fatima", "a test")]
