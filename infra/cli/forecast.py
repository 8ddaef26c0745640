"""forecast: what is expected of the coming days, from the orders in the database."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table

from app import database
from app.forecasting import service
from app.forecasting.service import Forecast
from infra import running
from infra.cli.orders import UNBOUNDED_WIDTH
from infra.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(forecast)


def forecast(
    tenant: Annotated[str, typer.Option("--tenant", help="Whose orders.")] = "default",
    days: Annotated[int, typer.Option("--days", min=1, max=28)] = service.DAYS,
    growth: Annotated[
        float, typer.Option("--growth", min=-0.9, max=100, help="0.2 is a fifth more, for the machines.")
    ] = service.GROWTH,
    picture: Annotated[
        bool, typer.Option("--picture", help="The next 24 hours as a heat map instead, as SVG.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object, for programs.")] = False,
) -> None:
    """Forecast the orders of each zone and hour, and what they ask for; kept as the latest forecast."""
    settings = running.connected(Settings.load())
    db = database.engine(settings.database_url.get_secret_value(), pool_size=1)
    now = datetime.now(UTC)
    try:
        service.gather(db, now=now)
        made = service.make(db, tenant, days=days, growth=growth, now=now)
        with db.begin() as connection:
            service.keep(connection, tenant, made)
    finally:
        db.dispose()
    if picture:
        print(service.picture(made), end="")
    elif as_json:
        print(json.dumps(msgspec.to_builtins(made)))
    else:
        width = None if sys.stdout.isatty() else UNBOUNDED_WIDTH
        Console(width=width).print(_shown(made), markup=False)


def _shown(made: Forecast) -> RenderableType:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in ("hour", "expected", "from", "to", "couriers", "places"):
        table.add_column(column, justify="right", no_wrap=True)
    for hours in list(zip(*(zone.hours for zone in made.zones), strict=True))[:24]:
        table.add_row(
            f"{hours[0].at:%a %H:%M}",
            f"{sum(hour.expected for hour in hours):.1f}",
            f"{sum(hour.low for hour in hours):.1f}",
            f"{sum(hour.high for hour in hours):.1f}",
            str(sum(hour.couriers for hour in hours)),
            str(sum(hour.slots for hour in hours)),
        )
    return Group(table, "", *_foot(made))


def _foot(made: Forecast) -> list[str]:
    weeks = (made.history_until - made.history_from).total_seconds() / 604_800
    told = made.resources
    lines = [
        f"{len(made.zones)} zones, {weeks:.1f} weeks of orders; the sums are of the zones' own intervals",
        f"build for, orders per second at {told.growth:+.0%}: compute {told.compute:.2f}, "
        f"database {told.database:.2f}, cache {told.cache:.2f} (busiest hour {told.peak:.2f}, grown {told.grown:.2f})",
    ]
    test = made.backtest
    if test is None:
        return [*lines, "no backtest: it needs two weeks of orders before the days that it looks at"]
    return [
        *lines,
        f"backtest of {test.days} days, each forecast from what was known before: error {test.error:.2f} orders per "
        f"zone and hour ({test.share:.1%}), seasonal naive {test.naive_error:.2f} ({test.naive_share:.1%}), "
        f"{test.covered:.1%} of hours within their 80 % interval",
    ]
