"""Which channel an order goes by, and how that is remembered."""

from datetime import UTC, datetime

from fake_providers import Mood
from world import RANKING, World

from app.deliveries import service as deliveries
from app.deliveries.model import Report, Reporter
from app.routing import decisions, figures, standings
from app.routing.choice import PassedOver, Weights
from sagas.deliveries import REROUTE_BY

FIRST, SECOND, THIRD = RANKING


def routing(world: World, order: str) -> dict[str, PassedOver | None]:
    """Why each channel was not taken."""
    run = world.one("SELECT run_id FROM uoop_orders WHERE id = :id", id=order)
    with world.db.begin() as connection:
        view = decisions.latest(connection, run)
    assert view
    return {each.channel: each.passed_over for each in view.candidates}


def test_a_cohorts_decisions_are_kept_in_one_row_and_told_of_each_order(world: World) -> None:
    orders = world.accept(3)
    world.settle()

    assert world.one("SELECT count(*) FROM routing_decisions") == 1
    for order in orders:
        assert routing(world, order) == {
            FIRST: None,
            SECOND: PassedOver.DEARER,
            THIRD: PassedOver.DEARER,
        }


def test_a_tenants_weights_are_its_own(world: World) -> None:
    world.sql("INSERT INTO tenants (id, name) VALUES ('other', 'Other')")
    with world.db.begin() as connection:
        standings.weigh(connection, "other", Weights(health=0), who="fatima", why="we trust them")
    for _ in range(40):
        world.partners[FIRST].behave(Mood.REFUSE, times=0)
    world.sql(
        "INSERT INTO partner_figures (partner, minute, calls, failed) VALUES (:p, now(), 100, 60)", p=FIRST
    )
    (ours,) = world.accept()
    (theirs,) = world.accept(tenant="other")

    world.settle()

    found = dict(world.rows("SELECT id, partner FROM uoop_orders"))
    assert found == {ours: SECOND, theirs: FIRST}
    assert world.rows("SELECT act, who FROM ops_acts") == [("routing-weights", "fatima")]


def test_who_has_as_many_orders_as_he_takes_comes_last(world: World) -> None:
    (first,) = world.accept()
    world.settle()
    world.sql("UPDATE partner_figures SET taken = 1000000 WHERE partner = :p", p=FIRST)
    limited = tuple(
        type(p)(
            name=p.name,
            base_fee=p.base_fee,
            per_km=p.per_km,
            speed_m_per_s=p.speed_m_per_s,
            orders_per_hour=100,
        )
        for p in world.ports.partners
    )
    object.__setattr__(world.ports, "partners", limited)

    (second,) = world.accept()
    world.settle()

    assert dict(world.rows("SELECT id, partner FROM uoop_orders")) == {first: FIRST, second: SECOND}
    assert routing(world, second)[FIRST] is PassedOver.FULL


def test_how_partners_do_is_added_up(world: World) -> None:
    orders = world.accept(4)
    world.partners[FIRST].behave(Mood.UNAVAILABLE, times=4)
    world.settle()
    world.accept(2)
    world.partners[FIRST].behave(Mood.REFUSE, orders=orders)
    world.settle()

    with world.db.begin() as connection:
        found = figures.latest(connection)

    assert (found[FIRST].calls, found[FIRST].failed, found[FIRST].taken_in_hour) == (2, 1, 2)
    assert (found[SECOND].calls, found[SECOND].failed, found[SECOND].taken_in_hour) == (1, 0, 4)


def test_whether_deliveries_kept_their_time_is_added_up(world: World) -> None:
    early, late = world.accept(2)
    world.settle()
    world.sql("UPDATE uoop_orders SET eta = now() - interval '1 h' WHERE id = :id", id=late)
    deliver(world, early, late, reporter=Reporter.PARTNER, by=FIRST)

    with world.db.begin() as connection:
        found = figures.latest(connection)[FIRST]

    assert (found.delivered, found.on_time) == (2, 1)


def deliver(world: World, *orders: str, reporter: Reporter, by: str) -> None:
    now = datetime.now(UTC)
    with world.db.begin() as connection:
        deliveries.store(
            connection,
            [
                Report(reporter=reporter, by=by, event_id=f"e-{order}", order=order, what="DELIVERED", at=now)
                for order in orders
            ],
        )
        deliveries.apply(connection, REROUTE_BY)


def test_a_meal_that_the_customer_collects_is_nobodys_delivery(world: World) -> None:
    world.add_courier()
    (order,) = world.accept(channel_preference="pickup")

    world.settle()

    assert world.rows("SELECT status, channel, partner FROM uoop_orders") == [
        ("CONFIRMED", "pickup", "pickup")
    ]
    assert world.book.standing("dispatches") == []
    assert world.pooled() == 0
    assert routing(world, order)["pickup"] is None


def test_the_kitchen_tells_when_the_customer_has_collected_it(world: World) -> None:
    collected, delivered = world.accept(channel_preference="pickup")[0], world.accept()[0]
    world.settle()

    deliver(world, collected, delivered, reporter=Reporter.RESTAURANT, by="kitchens")

    assert world.statuses() == {collected: "DELIVERED", delivered: "CONFIRMED"}
