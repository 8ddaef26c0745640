"""replay: a recorded day, or orders from a file."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app import errors
from infra.cli import screen
from infra.cli.demo import show
from infra.cli.started import platform
from infra.demo import lines, recording, rejects
from infra.demo.city import Order
from infra.demo.day import Day
from infra.demo.load import Refusal
from infra.demo.pacing import Schedule, Window
from infra.demo.play import Scene, play
from infra.demo.rejects import Reject
from infra.settings import Settings

SPEED = 1440.0  # a day in a minute
SHOWN_REJECTS = 20


class NothingToPlay(errors.Rejected):
    """There is no order to play."""

    code = "nothing-to-play"

    def __str__(self) -> str:
        return f"{self.data['path']} holds no order that can be played"


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(replay)


def replay(
    path: Annotated[
        Path, typer.Argument(exists=True, help="Folder of a recorded day, or a file of orders as JSON lines.")
    ],
    speed: Annotated[
        float,
        typer.Option(min=0.01, help="How much faster than the recorded day; 1440 plays it in a minute."),
    ] = SPEED,
    keep: Annotated[bool, typer.Option("--keep", help="Leave running what was started.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object on the last line.")] = False,
) -> None:
    """
    Play recorded orders through the REST API, audit, and tell how it went.

    Lines that cannot be played are told with their number and kept in a file beside the journals.
    """
    scene, count, broken = _day(path, speed) if path.is_dir() else _lines(path)
    if not count:
        _report(broken, Settings.load())
        raise NothingToPlay(path=str(path))
    with platform(Settings.load()) as started:
        with screen.bar(count) as tell:
            found, refusals = play(started.settings, scene, tell)
        _report([*broken, *map(_refused, refusals)], started.settings)
        show(found, as_json=as_json)
        started.keep = keep
    if not found.good:
        raise typer.Exit(1)


def _day(path: Path, speed: float) -> tuple[Scene, int, list[Reject]]:
    recorded = recording.read(path)
    day = Day(recorded)
    scene = Scene(
        day.restaurants(),
        day.couriers(speed=speed, start=datetime.now(UTC)),
        day.orders(),
        Schedule(day.offsets_s(speed)),
    )
    return scene, len(recorded.orders), list(recorded.rejects)


def _lines(path: Path) -> tuple[Scene, int, list[Reject]]:
    with path.open("rb") as file:
        orders, broken = lines.parse(path.name, file)
    return Scene((), (), iter(orders), Window()), len(orders), broken


def _refused(refusal: Refusal) -> Reject:
    order: Order = refusal.order
    file, _, number = order.label.rpartition(":")
    reason = f"the platform answered {refusal.status}: {refusal.body.decode(errors='replace')}"
    return Reject(file, int(number), reason, order.body.decode())


def _report(broken: list[Reject], settings: Settings) -> None:
    """Tell on stderr, and keep all in a file."""
    if not broken:
        return
    kept = settings.home / "rejects" / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.tsv"
    rejects.write(kept, broken)
    for reject in broken[:SHOWN_REJECTS]:
        print(reject, file=sys.stderr)
    more = f" ({len(broken) - SHOWN_REJECTS} more)" if len(broken) > SHOWN_REJECTS else ""
    print(f"{len(broken)} lines were not played{more}: {kept}", file=sys.stderr)
