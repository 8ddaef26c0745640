"""audit: recompute the promises."""

import json
from pathlib import Path
from typing import Annotated

import typer

from infra import audit as auditing
from infra import running
from infra.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(audit)


def audit(
    journal: Annotated[
        list[Path] | None,
        typer.Option("--journal", help="What a client wrote down of every 202; repeatable."),
    ] = None,
    consumed: Annotated[
        list[str] | None,
        typer.Option(
            "--consumed",
            metavar="NAME=FILE",
            help="What a consumer wrote down of every event, of a sink or a webhook; repeatable.",
        ),
    ] = None,
    settled: Annotated[
        bool, typer.Option("--settled", help="Everything should have ended: work under way is a violation.")
    ] = False,
    strict_latency: Annotated[
        bool, typer.Option("--strict-latency", help="No store was away: late events are a violation.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object, for programs.")] = False,
) -> None:
    """Recompute the promises from Postgres, Redis, the sandbox and journals; exit 1 if one is broken."""
    report = auditing.audit(
        running.connected(Settings.load()),
        journal or (),
        consumed=dict(map(_consumer, consumed or ())),
        settled=settled,
        strict_latency=strict_latency,
    )
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        print("\n".join(report.lines))
    raise typer.Exit(0 if report.clean else 1)


def _consumer(written: str) -> tuple[str, Path]:
    name, given, path = written.partition("=")
    if not (name and given and path):
        raise typer.BadParameter(f"{written!r} is not NAME=FILE")
    return name, Path(path)
