"""Further runs on an order."""

from datetime import timedelta

from together import at_once
from world import World

from app.runs import follow_ups
from app.runs.follow_ups import Begun, FollowUp, RunUnderWay
from app.runs.model import FOLLOW_UP
from sagas.fulfill_order import FULFILL_ORDER

WITHIN = timedelta(minutes=5)


def begin(world: World, *orders: str) -> list[Begun | RunUnderWay]:
    wanted = [FollowUp(order_id=order, asked={"why": "test"}, within=WITHIN) for order in orders]
    with world.db.begin() as connection:
        return follow_ups.begin(connection, FULFILL_ORDER.name, FULFILL_ORDER.version, wanted)


def fulfilled(world: World) -> str:
    (order,) = world.accept()
    world.settle()
    return order


def test_it_begins_on_an_order_whose_run_has_ended(world: World) -> None:
    order = fulfilled(world)

    (begun,) = begin(world, order)

    assert isinstance(begun, Begun)
    lane, generation, state = world.rows(
        "SELECT lane, generation, state FROM runs WHERE id = :id", id=begun.run_id
    )[0]
    assert (lane, generation, state) == (FOLLOW_UP, 1, "w")
    with world.db.begin() as connection:
        assert follow_ups.asked(connection, [begun.run_id]) == {begun.run_id: {"why": "test"}}


def test_it_does_not_begin_while_another_is_under_way(world: World) -> None:
    order = fulfilled(world)

    first, second = begin(world, order, order)

    assert isinstance(first, Begun)
    assert isinstance(second, RunUnderWay)
    assert [type(each) for each in begin(world, order)] == [RunUnderWay]


def test_it_does_not_begin_before_the_order_is_fulfilled(world: World) -> None:
    (order,) = world.accept()

    assert [type(each) for each in begin(world, order)] == [RunUnderWay]


def test_of_many_at_once_one_begins(world: World) -> None:
    order = fulfilled(world)

    answers = at_once(lambda: begin(world, order)[0], 8)

    assert sum(isinstance(answer, Begun) for answer in answers) == 1


def test_the_generation_counts_the_orders_runs(world: World) -> None:
    order = fulfilled(world)
    begin(world, order)
    world.sql("UPDATE runs SET state = 'e' WHERE state = 'w'")

    begin(world, order)

    assert world.one("SELECT max(generation) FROM runs") == 2
