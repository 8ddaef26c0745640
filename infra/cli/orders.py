"""submit, status, trace: single orders."""

import json
import re
import sys
import time
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from sqlalchemy import Connection

from app import database, errors
from app.runs import search
from app.runs.acts import RunNotFound
from app.runs.views import RunTrace
from infra import running
from infra.cli import picture
from infra.client.rest import Client, Refused
from infra.settings import Settings
from sagas import telling
from sagas.all import SAGAS

WATCH_EVERY_S = 0.5
UNBOUNDED_WIDTH = 140  # where no terminal says how wide it is
_UNDER_WAY = frozenset({"PENDING"})
_TRACKING_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")

_Id = Annotated[str, typer.Argument(metavar="ID", help="Tracking id.")]


class NoSuchOrder(errors.NotFound):
    """There is no such order."""

    code = "order-not-found"

    def __str__(self) -> str:
        return f"there is no order {self.data['order_id']}"


class NoRun(errors.NotFound):
    """The order came with a migration."""

    code = "no-run"

    def __str__(self) -> str:
        return f"order {self.data['order_id']} has no run: it came with a migration"


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (submit, status, trace):
        app.command()(command)


def submit(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="The order as a JSON document; - is stdin.")],
) -> None:
    """Submit an order; print its tracking id and where to follow it."""
    client = _client()
    told = client.submit(file.read(), key=f"submit-{time.time_ns():x}")
    print(told["tracking_id"])
    for name, path in told["links"].items():
        print(f"{name:9} {client.address}{path}")


def status(
    order_id: _Id,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print each change until the order is settled.")
    ] = False,
) -> None:
    """Print where an order stands, as JSON."""
    client, last = _client(), ""
    while True:
        order = _order(client, order_id)
        shown = json.dumps(order, indent=2) if not watch else _line(order)
        if shown != last:
            print(shown, flush=True)
        if not watch or order["status"] not in _UNDER_WAY:
            return
        last = shown
        time.sleep(WATCH_EVERY_S)


def trace(
    order_id: _Id,
    as_json: Annotated[bool, typer.Option("--json", help="As the API gives it, for programs.")] = False,
) -> None:
    """Draw an order's run on a line of time: steps, waits between them, and what was undone."""
    settings = running.connected(Settings.load())
    engine = database.engine(settings.database_url.get_secret_value(), pool_size=1)
    try:
        told = database.read(engine, lambda connection: _traced(connection, order_id))
    finally:
        engine.dispose()
    if as_json:
        print(msgspec.json.encode(told).decode())
    else:
        Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH).print(picture.of(told))


def _traced(connection: Connection, order_id: str) -> RunTrace:
    """Whichever tenant's it is: who may read Postgres may read this."""
    try:
        return telling.trace(connection, SAGAS, search.resolve(connection, None, order_id))
    except RunNotFound:
        asked = {"id": order_id}
        if database.one_value(connection, "SELECT 1 FROM uoop_orders WHERE id = :id", asked) is None:
            raise NoSuchOrder(order_id=order_id) from None
        raise NoRun(order_id=order_id) from None


def _client() -> Client:
    return Client.of(running.connected(Settings.load()))


def _order(client: Client, order_id: str) -> dict[str, object]:
    if not _TRACKING_ID.fullmatch(order_id):
        raise NoSuchOrder(order_id=order_id)
    try:
        order: dict[str, object] = client.order(order_id)
    except Refused as error:
        if error.data["status"] == 404:
            raise NoSuchOrder(order_id=order_id) from None
        raise
    return order


def _line(order: dict[str, object]) -> str:
    parts = [order["status"], order["stage"], order["partner"] and f"partner {order['partner']}"]
    failure = order["failure"]
    if isinstance(failure, dict):
        parts.append(failure["reason"])
    return "  ".join(str(part) for part in parts if part)
