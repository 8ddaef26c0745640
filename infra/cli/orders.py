"""submit, status, trace, cancel, refund: single orders."""

import getpass
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from sqlalchemy import Connection

from app import database, errors
from app.runs import follow_ups, search
from app.runs.acts import RunNotFound
from app.runs.views import RunTrace
from infra import running
from infra.cli import picture
from infra.client.orders import Order, settled
from infra.client.rest import Client, Refused
from infra.settings import Settings
from sagas import telling
from sagas.all import SAGAS

UNBOUNDED_WIDTH = 140  # where no terminal says how wide it is
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
    for command in (submit, status, trace, cancel, refund):
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
    client = _client()
    if watch:
        _of_order(order_id, lambda: _watch(client, order_id))
    else:
        print(json.dumps(_of_order(order_id, lambda: client.order(order_id)), indent=2))


def _watch(client: Client, order_id: str) -> None:
    last = ""
    for order in client.changes(order_id):
        shown = _line(order)
        if shown != last:
            print(shown, flush=True)
        if settled(order):
            return
        last = shown


def trace(
    order_id: _Id,
    as_json: Annotated[bool, typer.Option("--json", help="As the API gives it, for programs.")] = False,
) -> None:
    """Draw an order's runs, each on a line of time: steps, waits between them, and what was undone."""
    settings = running.connected(Settings.load())
    engine = database.engine(settings.database_url.get_secret_value(), pool_size=1)
    try:
        told = database.read(engine, lambda connection: _traced(connection, order_id))
    finally:
        engine.dispose()
    if as_json:
        print(msgspec.json.encode(told[-1]).decode())
        return
    console = Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH)
    for n, run in enumerate(told):
        console.print(*([""] if n else []), picture.of(run), sep="\n")


def _traced(connection: Connection, order_id: str) -> list[RunTrace]:
    """All of the order's runs, or the one of that id; whichever tenant's: who may read Postgres may read this."""
    try:
        present = search.resolve(connection, None, order_id)
        runs = follow_ups.runs_of(connection, order_id) or [present]
        return [telling.trace(connection, SAGAS, run_id) for run_id in runs]
    except RunNotFound:
        asked = {"id": order_id}
        if database.one_value(connection, "SELECT 1 FROM uoop_orders WHERE id = :id", asked) is None:
            raise NoSuchOrder(order_id=order_id) from None
        raise NoRun(order_id=order_id) from None


def cancel(order_id: _Id) -> None:
    """Wish an order cancelled; once it was promised, its delivery partner must give it back."""
    _of_order(order_id, lambda: _client().cancel(order_id))
    print(f"asked for: uoop status --watch {order_id}")


def refund(
    order_id: _Id,
    why: Annotated[str, typer.Option("--why", help="Kept with the refund.")],
    amount: Annotated[
        str | None, typer.Option("--amount", help="In the order's currency; without it, all that is left.")
    ] = None,
) -> None:
    """Give money back of what was captured."""
    wish = {"reason": why, "operator": getpass.getuser(), **({} if amount is None else {"amount": amount})}
    key = f"refund-{time.time_ns():x}"
    told = _of_order(order_id, lambda: _client().refund(order_id, wish, key=key))
    print(f"{told['amount']} {told['currency']} are given back, {told['remaining']} are left")
    print(f"asked for: uoop runs show {told['run_id']}")


def _client() -> Client:
    return Client.of(running.connected(Settings.load()))


def _of_order(order_id: str, ask: Callable[[], Any]) -> Any:
    """:raises NoSuchOrder: if the API does not know it"""
    if not _TRACKING_ID.fullmatch(order_id):
        raise NoSuchOrder(order_id=order_id)
    try:
        return ask()
    except Refused as error:
        if error.data["status"] == 404:
            raise NoSuchOrder(order_id=order_id) from None
        raise


def _line(order: Order) -> str:
    parts = [order["status"], order["stage"], order["partner"] and f"partner {order['partner']}"]
    failure, cancellation, refunded = order["failure"], order["cancellation"], order["refunded"]
    if isinstance(failure, dict):
        parts.append(failure["reason"])
    if isinstance(cancellation, dict):
        parts.append(f"cancellation {cancellation['state']}")
        parts.append(cancellation["reason"])
    if isinstance(refunded, dict):
        parts.append("{amount} of {total} {currency} given back".format_map(refunded))
    return "  ".join(str(part) for part in parts if part)
