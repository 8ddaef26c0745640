"""Demand gathered from orders, forecasts made of it, and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import Connection, Engine, text

from app import drawing
from app.capacity.usage import ELSEWHERE
from app.database import rows
from app.drawing import Cell
from app.forecasting import model, plan
from app.forecasting.model import WEEKS_AT_MOST, Backtest, Predicted
from app.forecasting.plan import Resources
from app.orders.document import Moment

DAYS, BACKTEST_DAYS, GROWTH = 7, 7, 0.2
DUE_EVERY = timedelta(hours=23)
RETENTION = timedelta(days=31)
HISTORY_DAYS = (WEEKS_AT_MOST + 4) * 7  # what a forecast looks at, and the backtest before it
_SHOWN_HOURS = 24
_HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastHour:
    """One zone in the hour that begins `at`: orders expected, with an interval that holds in 80 % of hours."""

    at: Moment
    expected: float
    low: float
    high: float
    couriers: int
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneForecast:
    zone: str
    hours: list[ForecastHour]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """
    What is expected of a tenant's coming days, by zone and hour, and what it asks for.

    `backtest` is null with less than two weeks of history before the days that it looks at.
    """

    made_at: Moment
    history_from: Moment
    history_until: Moment
    backtest: Backtest | None
    resources: Resources
    zones: list[ZoneForecast]


def gather(engine: Engine, *, now: datetime) -> None:
    """Count the orders of all hours that have ended since the last time, a day in each transaction."""
    until = now.replace(minute=0, second=0, microsecond=0)
    with engine.connect() as connection:
        since = connection.execute(
            text(
                "SELECT coalesce((SELECT max(counted_until) FROM demand_counted), "
                "date_trunc('hour', (SELECT min(created_at) FROM uoop_orders)))"
            )
        ).scalar_one()
    if since is None:
        return
    since = max(since, until - timedelta(days=HISTORY_DAYS))
    while since < until:
        end = min(since + timedelta(days=1), until)
        with engine.begin() as connection:
            _count(connection, since, end)
        since = end


def make(
    engine: Engine, tenant_id: str, *, days: int = DAYS, growth: float = GROWTH, now: datetime
) -> Forecast:
    """The forecast of the hours after the last one that was counted."""
    last = int(now.timestamp()) // _HOUR_S - 1
    with engine.connect() as connection:
        histories = _histories(connection, tenant_id, last)
    predicted = {zone: model.forecast(past, last, days * 24) for zone, past in histories.items()}
    length = max((len(past) for past in histories.values()), default=0)
    together = [sum(each.high for each in hour) for hour in zip(*predicted.values(), strict=True)]
    return Forecast(
        made_at=now,
        history_from=_moment(last - length + 1),
        history_until=_moment(last + 1),
        backtest=model.backtest(histories.values(), last, days=BACKTEST_DAYS),
        resources=plan.resources(together, growth=growth),
        zones=[
            ZoneForecast(zone=zone, hours=[_told(last + 1 + n, each) for n, each in enumerate(hours)])
            for zone, hours in predicted.items()
        ],
    )


def keep(connection: Connection, tenant_id: str, made: Forecast) -> None:
    """Store it beside earlier ones; those of a month ago go."""
    connection.execute(
        text(
            "INSERT INTO forecasts (tenant_id, made_at, document) VALUES (:tenant, :at, CAST(:document AS json))"
        ),
        {"tenant": tenant_id, "at": made.made_at, "document": rows(made)},
    )
    connection.execute(
        text("DELETE FROM forecasts WHERE made_at < :before"), {"before": made.made_at - RETENTION}
    )


def latest(connection: Connection, tenant_id: str) -> Forecast | None:
    """The one that was made last."""
    found = connection.execute(
        text("SELECT document::text FROM forecasts WHERE tenant_id = :tenant ORDER BY made_at DESC LIMIT 1"),
        {"tenant": tenant_id},
    ).scalar_one_or_none()
    return found and msgspec.json.decode(found, type=Forecast)


def make_due(engine: Engine, *, now: datetime) -> int:
    """
    Make the forecast of every tenant that has had orders, and none for 23 hours.

    :return: how many were made
    """
    due = text(
        "SELECT t.id FROM tenants t WHERE NOT EXISTS (SELECT FROM forecasts f WHERE f.tenant_id = t.id "
        "AND f.made_at > :since) ORDER BY t.id"
    )
    with engine.connect() as connection:
        tenants: Sequence[str] = list(connection.execute(due, {"since": now - DUE_EVERY}).scalars())
    if tenants:
        gather(engine, now=now)
    for tenant in tenants:
        made = make(engine, tenant, now=now)
        with engine.begin() as connection:
            keep(connection, tenant, made)
    return len(tenants)


def picture(made: Forecast | None) -> str:
    """The next day as a heat map, in SVG."""
    zones = made.zones if made else []
    highest = max((hour.high for zone in zones for hour in zone.hours[:_SHOWN_HOURS]), default=0.0) or 1.0
    cells = {
        (zone.zone, f"{hour.at:%H:%M}"): Cell(
            hour.expected / highest,
            f"{hour.expected:.0f}",
            f"{zone.zone} {hour.at:%a %H:%M}: {hour.expected:.1f} orders ({hour.low:.1f} to {hour.high:.1f}), "
            f"{hour.couriers} couriers, {hour.slots} places",
        )
        for zone in zones
        for hour in zone.hours[:_SHOWN_HOURS]
    }
    columns = [f"{hour.at:%H:%M}" for hour in zones[0].hours[:_SHOWN_HOURS]] if zones else []
    made_at = f"made {made.made_at:%Y-%m-%d %H:%M} UTC" if made else "none has been made yet"
    note = f"Expected orders by zone and hour, {made_at}; point at a cell for its interval"
    return drawing.heat_map("Forecast of the next 24 hours", note, [z.zone for z in zones], columns, cells)


def _count(connection: Connection, since: datetime, until: datetime) -> None:
    connection.execute(
        text("""
            INSERT INTO demand (tenant_id, zone, hour, orders)
            SELECT o.tenant_id, coalesce(r.zone, :elsewhere), date_trunc('hour', o.created_at), count(*)
            FROM tenants t JOIN uoop_orders o ON o.tenant_id = t.id
            LEFT JOIN restaurants r ON (r.tenant_id, r.id) = (o.tenant_id, o.restaurant_id)
            WHERE o.created_at >= :since AND o.created_at < :until GROUP BY 1, 2, 3
            ON CONFLICT (tenant_id, zone, hour) DO UPDATE SET orders = excluded.orders
        """),
        {"since": since, "until": until, "elsewhere": ELSEWHERE},
    )
    connection.execute(
        text(
            "INSERT INTO demand_counted (counted_until) VALUES (:until) "
            "ON CONFLICT (singleton) DO UPDATE SET counted_until = greatest(demand_counted.counted_until, :until)"
        ),
        {"until": until},
    )


def _histories(connection: Connection, tenant_id: str, last: int) -> Mapping[str, Sequence[int]]:
    """Orders of each zone by hour, from the first order of the tenant on, hours without any among them."""
    result = connection.execute(
        text(
            "SELECT zone, extract(epoch FROM hour)::bigint / 3600 AS hour, orders FROM demand "
            "WHERE tenant_id = :tenant AND hour >= :since AND hour < :until ORDER BY zone, hour"
        ),
        {
            "tenant": tenant_id,
            "since": _moment(last - HISTORY_DAYS * 24),
            "until": _moment(last + 1),
        },
    ).all()
    if not result:
        return {}
    first = min(row.hour for row in result)
    found: dict[str, list[int]] = {}
    for zone, at, orders in result:
        found.setdefault(zone, [0] * (last - first + 1))[at - first] = orders
    return found


def _told(hour: int, predicted: Predicted) -> ForecastHour:
    wanted = plan.hour(predicted)
    return ForecastHour(
        at=_moment(hour),
        expected=round(predicted.expected, 2),
        low=round(predicted.low, 2),
        high=round(predicted.high, 2),
        couriers=wanted.couriers,
        slots=wanted.slots,
    )


def _moment(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * _HOUR_S, UTC)
