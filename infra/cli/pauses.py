"""pause, resume, pauses: what operators hold back, by the REST API."""

import getpass
from typing import Annotated

import typer

from app.runs.pauses import Kind
from infra.cli import run_tables
from infra.cli.runs import desk_client, show_told

_Kind = Annotated[Kind, typer.Argument(help="What is held back.")]
_Name = Annotated[str, typer.Argument(help="As in `uoop picture`, or in the providers file.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the log of acts.")]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (pause, resume, pauses):
        app.command()(command)


def pause(
    kind: _Kind,
    name: _Name,
    reason: _Reason,
    for_s: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="Then it is resumed by itself.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Hold back a saga, a step or a partner: who comes by waits, and loses nothing."""
    until: dict[str, object] = {} if for_s is None else {"for_s": for_s}
    _switch(kind, name, "pause", {"reason": reason, **until}, as_json=as_json)


def resume(kind: _Kind, name: _Name, reason: _Reason, as_json: _Json = False) -> None:
    """Let go on what was held back."""
    _switch(kind, name, "resume", {"reason": reason}, as_json=as_json)


def pauses(as_json: _Json = False) -> None:
    """Show what is paused, how many runs wait, and who paused and resumed lately."""
    told = desk_client().pauses()
    show_told(told, run_tables.pauses(told), as_json=as_json)


def _switch(kind: Kind, name: str, act: str, instruction: dict[str, object], *, as_json: bool) -> None:
    told = desk_client().switch(kind, name, act, {**instruction, "operator": getpass.getuser()})
    show_told(told, run_tables.pauses(told), as_json=as_json)
