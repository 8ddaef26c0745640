"""Forecasts are made of the orders that were, once a day for each tenant, and kept."""

from datetime import UTC, datetime, timedelta

from world import World

from app import database
from app.forecasting import service

NOW = datetime.now(UTC)
HOUR = NOW.replace(minute=0, second=0, microsecond=0)


def demanded(world: World, *, weeks: int, every: timedelta = timedelta(hours=6)) -> None:
    """Two orders in each such hour of the past weeks, in a known zone."""
    world.sql(
        "INSERT INTO restaurants (tenant_id, id, lat, lng, zone) VALUES ('default', 'r', 0, 0, 'north')"
    )
    world.sql(
        "INSERT INTO uoop_orders (id, customer_id, restaurant_id, status, items, delivery_location, total_amount, "
        "created_at) SELECT gen_random_uuid(), 'c', 'r', 'DELIVERED', '[]', '{}', 1, at + make_interval(mins => n) "
        "FROM generate_series(CAST(:since AS timestamptz), :until, :every) at CROSS JOIN generate_series(1, 2) n",
        since=HOUR - timedelta(weeks=weeks),
        until=HOUR - timedelta(hours=1),
        every=every,
    )


def latest(world: World, tenant: str = "default") -> service.Forecast | None:
    return database.read(world.db, lambda connection: service.latest(connection, tenant))


def test_what_was_is_expected_again(world: World) -> None:
    demanded(world, weeks=4)

    made = service.make_due(world.db, now=NOW)

    found = latest(world)
    assert (made, found is not None) == (1, True)
    assert found
    (zone,) = found.zones
    assert zone.zone == "north"
    assert len(zone.hours) == 7 * 24
    busy = [hour.expected for hour in zone.hours if (hour.at - HOUR) % timedelta(hours=6) == timedelta(0)]
    assert set(busy) == {2.0}
    assert sum(hour.expected for hour in zone.hours) == sum(busy)
    assert found.backtest
    assert found.backtest.error == 0


def test_one_is_made_a_day_and_orders_are_counted_once(world: World) -> None:
    demanded(world, weeks=1)
    counts = [service.make_due(world.db, now=NOW + timedelta(hours=hours)) for hours in (0, 1, 24)]

    assert counts == [1, 0, 1]
    assert world.one("SELECT sum(orders) FROM demand") == world.one("SELECT count(*) FROM uoop_orders")


def test_without_orders_nothing_is_expected(world: World) -> None:
    service.make_due(world.db, now=NOW)

    found = latest(world)
    assert found
    assert (found.zones, found.backtest, found.resources.compute) == ([], None, 0)


def test_a_tenants_forecast_is_its_own(world: World) -> None:
    demanded(world, weeks=1)
    service.make_due(world.db, now=NOW)

    assert latest(world, "stranger") is None
