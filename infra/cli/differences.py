"""differences: what operators see and do about them, by the REST API."""

import getpass
import sys
from typing import Annotated

import typer

from app.settlement.model import DifferenceKind
from app.settlement.views import Remedy, State
from infra.cli import difference_tables
from infra.cli.runs import desk_client, show_told

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
    told = desk_client().differences({name: value for name, value in given.items() if value is not None})
    show_told(told, difference_tables.differences(told["differences"]), as_json=as_json)
    if told["next_cursor"] and not as_json:
        print(f"more: --cursor {told['next_cursor']}", file=sys.stderr)


def summary(as_json: _Json = False) -> None:
    """Count what is open, with the money at stake."""
    told = desk_client().difference_summary()
    show_told(told, difference_tables.summary(told["groups"]), as_json=as_json)


def show(difference: _Id, as_json: _Json = False) -> None:
    """Tell of one difference, and what was done about it."""
    told = desk_client().difference(difference)
    show_told(told, difference_tables.story(told), as_json=as_json)


def resolve(difference: _Id, reason: _Why, as_json: _Json = False) -> None:
    """Say that a difference has been dealt with."""
    _act(difference, Remedy.RESOLVE, reason, as_json=as_json)


def undo(difference: _Id, reason: _Why, as_json: _Json = False) -> None:
    """Have a dispatch, placement or authorization too many taken back by its key, within seconds."""
    _act(difference, Remedy.UNDO, reason, as_json=as_json)


def _act(difference: str, act: Remedy, reason: str, *, as_json: bool) -> None:
    instruction = {"reason": reason, "operator": getpass.getuser()}
    told = desk_client().act_on_difference(difference, act, instruction)
    show_told(told, difference_tables.differences([told["after"]]), as_json=as_json)
