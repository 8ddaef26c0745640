"""What is told about orders while they are under way and afterwards."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fake_providers import Mood
from sqlalchemy import Engine as Database
from test_operations import desk, do
from world import World

from app.orders import queries
from app.orders.views import OrderFilter, OrderView, Refunded, TimelineEntry
from app.runs import follow_ups
from app.runs.allowed import Act
from app.runs.model import Direction
from app.runs.views import RunFilter
from app.tenants import service as tenants
from infra.wiring import SAGAS


def step_names(saga: str, version: int) -> list[str]:
    return [step.name for step in SAGAS.get(saga, version).steps]


def stage_name(saga: str, version: int, direction: Direction, stage: int) -> str:
    definition = SAGAS.get(saga, version)
    return ", ".join(definition.steps[n].name for n in definition.travelled(direction)[stage])


def view(world: World, order: str, tenant: str = "default") -> OrderView | None:
    with world.db.begin() as connection:
        return queries.order(connection, tenant, order, steps=step_names, stages=stage_name)


def views(world: World, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], OrderView]:
    with world.db.begin() as connection:
        return queries.orders(connection, wanted, steps=step_names, stages=stage_name)


def timeline(world: World, order: str) -> list[TimelineEntry]:
    with world.db.begin() as connection:
        return queries.timeline(connection, "default", order, steps=step_names) or []


def test_an_order_is_told_stage_by_stage(world: World) -> None:
    (order,) = world.accept()
    waiting = view(world, order)
    claimed = world.claim_one()
    world.walk(claimed, until="plan-fulfilment")
    travelling = view(world, order)
    world.walk(claimed, leg=2)
    done = view(world, order)

    assert waiting
    assert travelling
    assert done
    assert (waiting.stage, waiting.steps) == ("validate-order", [])
    assert travelling.stage == "plan-fulfilment"
    assert {step.name: step.status for step in travelling.steps} == {
        "validate-order": "done",
        "reserve-capacity": "done",
        "authorize-payment": "done",
    }
    assert (done.status, done.stage, done.partner) == ("CONFIRMED", None, "dhow")
    assert done.eta
    assert done.eta > datetime.now(UTC)
    assert [step.name for step in done.steps] == step_names("fulfill-order", 1)
    assert {step.attempts for step in done.steps} == {1}


def test_an_undone_order_tells_what_was_undone_and_why(world: World) -> None:
    (order,) = world.accept()
    world.kitchens.behave(Mood.UNAVAILABLE, times=1)
    world.kitchens.behave(Mood.REFUSE)
    world.settle()

    told = view(world, order)

    assert told
    assert told.failure
    assert (told.status, told.failure.code, told.failure.compensated) == (
        "FAILED",
        "restaurant-refused",
        True,
    )
    steps = {step.name: (step.status, step.attempts) for step in told.steps}
    assert steps["place-with-restaurant"] == ("rejected", 2)
    assert steps["undo place-with-restaurant"] == ("undone", 1)
    assert steps["undo reserve-capacity"] == ("undone", 1)
    assert "undo dispatch-to-partner" not in steps


def test_a_timeline_rises_from_acceptance_to_its_end(world: World) -> None:
    (order,) = world.accept()
    world.settle()

    entries = timeline(world, order)

    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert entries[0].event == "accepted"
    assert "confirmed" in {entry.event for entry in entries}
    assert [entry.step for entry in entries if entry.event == "step-done"] == step_names("fulfill-order", 1)


def test_a_legacy_order_without_a_run_is_told(world: World) -> None:
    world.sql(
        "INSERT INTO uoop_orders (id, customer_id, restaurant_id, status, items, delivery_location, total_amount) "
        "VALUES ('LEGACY-7', 'c', 'r', 'DELIVERED', '[]', '{}', 12.5)"
    )

    told = view(world, "LEGACY-7")

    assert told
    assert (told.status, told.stage, told.steps) == ("DELIVERED", None, [])
    assert [entry.event for entry in timeline(world, "LEGACY-7")] == ["accepted", "delivered"]


def test_nobody_sees_anothers_order(world: World) -> None:
    with world.db.begin() as connection:
        tenants.ensure_tenant(connection, "another", name="Another", order_deadline_s=1)
    (order,) = world.accept()

    assert view(world, order, "another") is None


def pages(db: Database, wanted: OrderFilter, size: int) -> list[list[str]]:
    found, after = [], None
    while True:
        with db.begin() as connection:
            page = queries.page(connection, "default", wanted, after, size)
        found.append([order.tracking_id for order in page.orders])
        if page.next is None:
            return found
        after = page.next


def test_pages_hold_every_order_once_newest_first(world: World) -> None:
    orders = world.accept(5) + world.accept(2)

    found = pages(world.db, OrderFilter(), 3)

    assert [len(page) for page in found] == [3, 3, 1]
    assert sorted(order for page in found for order in page) == sorted(orders)
    assert set(found[0][:2]) == set(orders[5:])


def test_a_list_is_filtered(world: World) -> None:
    mine = world.accept(2, customer_id="me", external_order_id=None)
    (theirs,) = world.accept(customer_id="them", restaurant_id="other", external_order_id="x-1")

    assert pages(world.db, OrderFilter(customer_id="me"), 9) == [sorted(mine, reverse=True)]
    assert pages(world.db, OrderFilter(restaurant_id="other"), 9) == [[theirs]]
    assert pages(world.db, OrderFilter(external_order_id="x-1"), 9) == [[theirs]]
    assert pages(world.db, OrderFilter(created_from=datetime.now(UTC)), 9) == [[]]


def test_all_runs_of_an_order_are_told(world: World) -> None:
    (order,) = world.accept()
    world.settle()
    world.refund(order, "1.000")
    world.partners["dhow"].behave(Mood.REFUSE, op="undo")
    do(world, Act.CANCEL, order)
    asked = view(world, order)
    world.settle()

    told = view(world, order)
    assert asked
    assert told
    assert asked.cancellation
    assert (asked.cancellation.state, asked.stage) == ("under-way", "await-earlier-run")
    assert told.cancellation
    assert (told.cancellation.state, told.cancellation.code) == ("refused", "partner-keeps-order")
    assert told.refunded == Refunded(amount="1.000", total="2.750", currency="BHD")
    follow_ups = ["check-refund", "refund-payment", "await-earlier-run", "recall-dispatch"]
    assert [step.name for step in told.steps] == [*step_names("fulfill-order", 1), *follow_ups]
    events = [entry.event for entry in timeline(world, order) if not entry.step]
    assert events == ["accepted", "confirmed", "refund-asked", "cancellation-asked"]


def test_all_runs_of_an_order_are_known_oldest_first(world: World) -> None:
    orders = world.accept(2)
    world.settle()
    world.refund(orders[0], "1.000")

    with world.db.begin() as connection:
        found = [follow_ups.runs_of(connection, order) for order in (*orders, "nobody")]

    sagas = [[world.one("SELECT saga FROM runs WHERE id = :id", id=run) for run in runs] for runs in found]
    assert sagas == [["fulfill-order", "refund-order"], ["fulfill-order"], []]


def test_the_runs_of_an_order_are_listed_newest_first(world: World) -> None:
    orders = world.accept(2)
    world.settle()
    world.refund(orders[0], "1.000")

    found = desk(world).search("default", RunFilter(tracking_id=orders[0]), None, 50).runs

    assert [run.saga for run in found] == ["refund-order", "fulfill-order"]
