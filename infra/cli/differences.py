"""differences: what operators see and do about them, by the REST API."""

import getpass
import json
import sys
from typing import Annotated

import typer
from rich.console import Console, RenderableType

from app.settlement.model import DifferenceKind
from app.settlement.views import Remedy, State
from infra import running
from infra.cli import difference_tables
from infra.cli.orders import UNBOUNDED_WIDTH
from infra.client.rest import Client
from infra.settings import Settings

WAIT_AT_MOST_S = 20.0

_Id = Annotated[str, typer.Argument(metavar="ID")]
_Why = Annotated[str, typer.Option("--reason", help="Why; kept in the log of acts.")]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="Where our books and a provider's list differ.")
    group.command("list")(list_differences)
    for command in (summary, show, resolve, undo):
        group.command()(command)
    app.add_typer(group, name="differences")


def list_differences(
    state: Annotated[State, typer.Option("--state")] = State.OPEN,
    kind: Annotated[DifferenceKind | None, typer.Option("--kind")] = None,
    provider: Annotated[str | None, typer.Option("--provider")] = None,
    resource: Annotated[str | None, typer.Option("--resource")] = None,
    order: Annotated[str | None, typer.Option("--order", metavar="ID", help="Tracking id.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100)] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where a list has ended.")] = None,
    as_json: _Json = False,
) -> None:
    """List differences, newest first."""
    given = {
        "state": state.value,
        "kind": kind.value if kind else None,
        "provider": provider,
        "resource": resource,
        "tracking_id": order,
        "limit": limit,
        "cursor": cursor,
    }
    told = _client().differences({name: value for name, value in given.items() if value is not None})
    _print(told, difference_tables.differences(told["differences"]), as_json=as_json)
    if told["next_cursor"] and not as_json:
        print(f"more: --cursor {told['next_cursor']}", file=sys.stderr)


def summary(as_json: _Json = False) -> None:
    """Count what is open, with the money at stake."""
    told = _client().difference_summary()
    _print(told, difference_tables.summary(told["groups"]), as_json=as_json)


def show(difference: _Id, as_json: _Json = False) -> None:
    """Tell of one difference, and what was done about it."""
    told = _client().difference(difference)
    _print(told, difference_tables.story(told), as_json=as_json)


def resolve(difference: _Id, reason: _Why, as_json: _Json = False) -> None:
    """Say that a difference has been dealt with."""
    _act(difference, Remedy.RESOLVE, reason, as_json=as_json)


def undo(difference: _Id, reason: _Why, as_json: _Json = False) -> None:
    """Have a dispatch, placement or authorization too many taken back by its key, within seconds."""
    _act(difference, Remedy.UNDO, reason, as_json=as_json)


def _act(difference: str, act: Remedy, reason: str, *, as_json: bool) -> None:
    instruction = {"reason": reason, "operator": getpass.getuser()}
    told = _client().act_on_difference(difference, act, instruction)
    _print(told, difference_tables.differences([told["after"]]), as_json=as_json)


def _client() -> Client:
    return Client.of(running.connected(Settings.load()), patience_s=WAIT_AT_MOST_S)


def _print(told: object, shown: RenderableType, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told))
    else:
        Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH).print(shown, markup=False)
