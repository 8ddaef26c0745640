"""
The command ``uoop``. A module here is a group of commands; registering one is one line below.

What the platform foresees, and what the system refuses, becomes one line on stderr and exit code 2.
"""

import sys

import typer

from app import errors
from infra.cli import audit, demo, keys, orders, replay, runs, sagas, stack

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
stack.register(app)
demo.register(app)
replay.register(app)
orders.register(app)
runs.register(app)
keys.register(app)
audit.register(app)
sagas.register(app)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except errors.UoopError as error:
        print(f"uoop: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a folder that cannot be used, a full disk: nothing that a traceback explains
        print(
            f"uoop: {error.filename}: {error.strerror}" if error.filename else f"uoop: {error}",
            file=sys.stderr,
        )
        sys.exit(2)
