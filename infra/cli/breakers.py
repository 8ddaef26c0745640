"""breakers: how delivery partners do, and what is set by hand, by the REST API."""

import getpass
from enum import StrEnum
from typing import Annotated

import typer

from infra.cli import run_tables
from infra.cli.runs import desk_client, show_told

_Partner = Annotated[str, typer.Argument(help="A delivery partner, as in the providers file.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the log of acts.")]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_Weight = Annotated[float, typer.Option(min=0, max=100)]


class Held(StrEnum):
    """How a breaker can be held."""

    OPEN = "open"
    CLOSED = "closed"


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(
        invoke_without_command=True, help="See how delivery partners do; hold their breakers; weigh."
    )
    group.callback()(show)
    group.command()(force)
    group.command()(release)
    group.command()(weigh)
    app.add_typer(group, name="breakers")


def show(context: typer.Context, as_json: _Json = False) -> None:
    """Show every partner's breaker and figures, what is weighed, and what was done by hand lately."""
    if context.invoked_subcommand is None:
        told = desk_client().channels()
        show_told(told, run_tables.channels(told), as_json=as_json)


def force(
    partner: _Partner,
    state: Annotated[Held, typer.Argument()],
    reason: _Reason,
    for_s: Annotated[float, typer.Option("--for", metavar="SECONDS", min=1)],
    as_json: _Json = False,
) -> None:
    """Hold a breaker open (nothing new is asked of the partner) or closed, for a while."""
    _act(f"{partner}/force", {"reason": reason, "state": state, "for_s": for_s}, as_json=as_json)


def release(partner: _Partner, reason: _Reason, as_json: _Json = False) -> None:
    """Leave a breaker to the calls again."""
    _act(f"{partner}/release", {"reason": reason}, as_json=as_json)


def weigh(
    reason: _Reason,
    cost: Annotated[float, typer.Option(min=0.01, max=100)] = 1.0,
    time: _Weight = 1.0,
    health: _Weight = 1.0,
    load: _Weight = 1.0,
    as_json: _Json = False,
) -> None:
    """Say what matters when a channel is chosen, relative to the usual: 0 is nothing, 2 twice as much."""
    weights = {"cost": cost, "time": time, "health": health, "load": load}
    _act("weights", {"reason": reason, "weights": weights}, as_json=as_json)


def _act(path: str, instruction: dict[str, object], *, as_json: bool) -> None:
    told = desk_client().act_on_channels(path, {**instruction, "operator": getpass.getuser()})
    show_told(told, run_tables.channels(told), as_json=as_json)
