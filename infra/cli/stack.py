"""up, down, ps, logs, settings: the processes of this machine."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.providers.registry import ProvidersFileError
from infra import running, wiring
from infra import settings as settings_module
from infra.settings import Settings, SettingsRefused
from infra.stack import WORKERS, processes
from infra.supervisor import Process, state
from infra.supervisor import logs as process_logs


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (up, down, drain, undrain, ps, logs, settings):
        app.command()(command)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything is ready.")] = False,
) -> None:
    """Start everything; Ctrl-C, or `uoop down`, stops it."""
    chosen = Settings.load()
    if detach:
        running.up_detached(chosen)
        _say_ready(running.connected(chosen))
    else:
        running.up(
            chosen,
            processes=_processes,
            on_unclean_worker_death=wiring.worker_died,
            on_ready=_say_ready,
            tell=_say,
        )


def down() -> None:
    """Stop everything, also what a killed supervisor left."""
    chosen = Settings.load()
    _say("stopped" if running.down(chosen) else f"nothing runs on {chosen.home}")


def drain(name: Annotated[str, typer.Argument(help="A worker of `uoop ps`.")]) -> None:
    """Let a worker finish what it runs, and rest: it loses and repeats nothing, and the others go on."""
    running.drain(Settings.load(), name)
    queue = WORKERS[name][0] if name in WORKERS else name
    _say(f"{name} rests: nobody on this machine takes from queue {queue} until `uoop undrain {name}`")


def undrain(name: Annotated[str, typer.Argument(help="A drained worker.")]) -> None:
    """Start a drained worker again."""
    running.undrain(Settings.load(), name)
    _say(f"{name} runs")


def ps(
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects, for programs.")] = False,
) -> None:
    """Show what runs."""
    chosen = Settings.load()
    rows = [_shown(row) for row in running.rows(chosen)]
    if as_json:
        print(json.dumps(rows))
    elif not rows:
        _say(f"nothing runs on {chosen.home}")
    else:
        table = Table(*rows[0], box=None)
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        Console().print(table)


def logs(
    name: Annotated[str, typer.Argument(help="A process of `uoop ps`.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Show a process's log."""
    home = Settings.load().home
    for line in process_logs.tail(home, name, lines):
        print(line)
    if follow:
        with suppress(KeyboardInterrupt):
            for piece in process_logs.follow(home, name):
                print(piece, end="", flush=True)


def settings() -> None:
    """Print every setting as a Markdown table."""
    print(settings_module.table(), end="")


def _processes(settings: Settings) -> Sequence[Process]:
    """The platform's processes; a providers file that no worker could use is told before they start."""
    try:
        wiring.check_providers(settings)
    except ProvidersFileError as error:
        raise SettingsRefused(providers=str(error)) from error
    return processes(settings)


def _shown(row: state.Row) -> dict[str, object]:
    return {
        "name": row.name,
        "pid": row.pid,
        "port": row.port,
        "restarts": row.restarts,
        "uptime_s": None if row.since is None else round(time.time() - row.since, 1),
        "state": row.state,
    }


def _say(line: str) -> None:
    """Tell whoever still listens: a closed terminal must not end the supervisor."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _say_ready(settings: Settings) -> None:
    key = settings.home / "api-key"
    address = f"http://{settings.host}:{settings.port} (the API key is in {key})"
    _say(f"ready: {address if settings.runs('api') else settings.only}")
