"""
The command ``uoop``. A module here is a group of commands; registering one is one line below.

What the platform foresees, and what the system refuses, becomes one line on stderr and exit code 2.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from typer.exceptions import TyperException

from app import errors
from infra.cli import (
    audit,
    breakers,
    capacity,
    deliveries,
    demo,
    differences,
    events,
    forecast,
    keys,
    orders,
    pauses,
    reconcile,
    replay,
    runs,
    sagas,
    simulate,
    stack,
    webhooks,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
stack.register(app)
demo.register(app)
replay.register(app)
simulate.register(app)
orders.register(app)
runs.register(app)
keys.register(app)
reconcile.register(app)
differences.register(app)
pauses.register(app)
breakers.register(app)
capacity.register(app)
forecast.register(app)
deliveries.register(app)
audit.register(app)
events.register(app)
webhooks.register(app)
sagas.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"uoop {version('uoop')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _about(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The Unified Order Orchestration Platform."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command line."""
    try:
        sys.exit(app(prog_name="uoop", standalone_mode=False))
    except TyperException as error:  # a command line that cannot be understood
        if told := _one_line(error):
            print(f"uoop: {told}", file=sys.stderr)
        sys.exit(2)
    except errors.UoopError as error:
        print(f"uoop: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a folder that cannot be used, a full disk: nothing that a traceback explains
        print(
            f"uoop: {error.filename}: {error.strerror}" if error.filename else f"uoop: {error}",
            file=sys.stderr,
        )
        sys.exit(2)


def _one_line(error: TyperException) -> str:
    """What is wrong, and where to read how it is done; empty if the help has been shown already."""
    context = getattr(error, "ctx", None)
    told: str = getattr(error, "format_message", error.__str__)()
    return f"{told.rstrip('.')} (see {context.command_path} --help)" if told and context else told
