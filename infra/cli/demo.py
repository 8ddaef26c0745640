"""demo: generated orders against the whole platform."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.cli import screen
from infra.cli.started import Started, platform
from infra.demo import arrivals, city
from infra.demo.mishap import PartnerDown
from infra.demo.pacing import Pace, Schedule, Window
from infra.demo.play import Progress, Scene, Summary, play
from infra.settings import Settings

ORDERS, FAILURE_RATE = 2_000, 0.0
LUNCH_ORDERS, LUNCH_FAILURE_RATE, LUNCH_S = 3_000, 0.05, 60.0


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(demo)


def demo(
    orders: Annotated[int | None, typer.Option(min=1, help="How many; 2000, or 3000 with --lunch.")] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, help="Orders per second; without it, as fast as the platform takes them."),
    ] = None,
    failure_rate: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share refused for good, half by payment, half by every partner."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the city and its orders.")] = 1,
    lunch: Annotated[
        bool, typer.Option("--lunch", help="A lunch hour, its peak included, in a minute.")
    ] = False,
    partner_down: Annotated[
        str | None,
        typer.Option(
            "--partner-down",
            metavar="NAME@SHARE",
            help="Take a delivery partner down after that share of the orders, until all are sent.",
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave running what was started.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object on the last line.")] = False,
) -> None:
    """Play generated orders through the REST API, audit, and tell how it went."""
    count = orders or (LUNCH_ORDERS if lunch else ORDERS)
    share = failure_rate if failure_rate is not None else LUNCH_FAILURE_RATE if lunch else FAILURE_RATE
    place = city.city(seed)
    pace = _pace(count, rate=rate, lunch=lunch, seed=seed)
    mishap = _mishap(partner_down)
    with platform(Settings.load()) as started:
        scene = Scene(place.restaurants, place.couriers, city.orders(place, count, failure_rate=share), pace)
        with screen.bar(count) as tell, _happening(started.settings.home, mishap, count) as happen:

            def look(progress: Progress) -> None:
                happen(progress.accepted)
                tell(progress)

            found, _ = play(started.settings, scene, look)
        show(found, as_json=as_json)
        started.keep = keep
        if lunch and keep:
            _serve(started)
    if not found.good:
        raise typer.Exit(1)


def show(found: Summary, *, as_json: bool) -> None:
    """Print the summary: for people, or as one line for programs."""
    if as_json:
        print(json.dumps(found.as_json()))
    else:
        screen.summary(found, Console())


def _mishap(told: str | None) -> tuple[str, float] | None:
    """:raises typer.BadParameter: if it is not NAME@SHARE"""
    if told is None:
        return None
    name, _, share = told.partition("@")
    try:
        after = float(share)
    except ValueError:
        after = -1.0
    if not name or not 0 <= after < 1:
        raise typer.BadParameter(f"{told} is not like swift@0.4")
    return name, after


@contextmanager
def _happening(home: Path, mishap: tuple[str, float] | None, orders: int) -> Iterator[Callable[[int], None]]:
    """What is told how many orders are accepted, and lets happen what is due."""
    if mishap is None:
        yield lambda _: None
        return
    name, share = mishap
    down = PartnerDown(home, name, share=share, orders=orders)
    try:
        yield down.look
    finally:
        down.end()


def _pace(count: int, *, rate: float | None, lunch: bool, seed: int) -> Pace:
    if lunch:
        return Schedule(arrivals.lunch(count, seconds=count / rate if rate else LUNCH_S, seed=seed))
    return Schedule(arrivals.evenly(count, rate=rate)) if rate else Window()


def _serve(started: Started) -> None:
    """Tell the addresses; stop at Ctrl-C what we have started."""
    screen.addresses(started.settings, Console())
    if not started.by_us:
        return
    started.keep = False
    print("\nCtrl-C stops everything.", flush=True)
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    print("stopping", file=sys.stderr)
