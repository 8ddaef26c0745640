"""events: how well they are delivered, what was put aside, and having them heard again."""

import json
import sys
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from app import database, errors
from app.doorbell import Bell
from app.outbox import dead_letters, queries, relay
from app.outbox.dead_letters import DeadLetter
from app.outbox.model import Event, envelope
from app.outbox.port import EventRefused, Sink
from app.outbox.queries import Selection, SinkStanding
from infra import running, wiring
from infra.cli.orders import UNBOUNDED_WIDTH
from infra.settings import Settings

BATCH = 1000
LOOK_EVERY_S = 0.5
REDRIVEN_AT_MOST = 100_000

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_Sink = Annotated[str, typer.Option("--sink", help="redis-stream, webhooks or kafka.")]
_Order = Annotated[str | None, typer.Option("--order", metavar="ID", help="Only of this order.")]
_Type = Annotated[str | None, typer.Option("--type", help="Only of this type, such as order.confirmed.")]
_Moment = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"])]


class NoSuchSink(errors.NotFound):
    """There is no such sink."""

    code = "no-such-sink"

    def __str__(self) -> str:
        return "there is no sink {sink}: there is {known}".format_map(self.data)


class SinkInUse(errors.Conflict):
    """The settings name this sink."""

    code = "sink-in-use"

    def __str__(self) -> str:
        return "{sink} is in the settings: take it out of them on every host first".format_map(self.data)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="See how events are delivered, and have them heard again.")
    for command in (slo, tail, dead, redrive, replay, forget):
        group.command()(command)
    app.add_typer(group, name="events")


def slo(
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, help="The window that is looked at.")] = 60,
    as_json: _Json = False,
) -> None:
    """Show how promptly each sink gets its events, what it lags behind by, and what was put aside."""
    window = timedelta(minutes=minutes)
    found, in_use = database.read(_database(), lambda c: queries.standings(c, window=window)), _sinks()
    if as_json:
        print(json.dumps([asdict(one) | {"in_settings": one.sink in in_use} for one in found]))
    else:
        _console().print(_standings(found, in_use))


def tail(
    order: _Order = None,
    type_: _Type = None,
    last: Annotated[int, typer.Option("--last", min=0, help="Begin so many events back.")] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with what comes.")] = True,
) -> None:
    """Print events as they happen, one CloudEvent a line."""
    db, wanted = _database(), Selection(order_id=order, type=type_)
    # an order's events are few: all of them, wherever they stand
    after = 0 if order else database.read(db, lambda c: queries.end(c, back=last))
    while True:
        for batch in _batches(db, wanted, after):
            for event in batch:
                print(envelope(event).decode(), flush=True)
            after = batch[-1].pos
        if not follow:
            return
        time.sleep(LOOK_EVERY_S)


def dead(
    sink: _Sink = "",
    limit: Annotated[int, typer.Option("--limit", min=1)] = 100,
    as_json: _Json = False,
) -> None:
    """List what sinks have refused, or was dropped by age before they took it."""
    db = _database()
    names = [sink] if sink else sorted(database.read(db, dead_letters.counts))
    found = [
        (name, letter)
        for name in names
        for letter in database.read(db, partial(dead_letters.open_ones, sink=name, limit=limit))
    ]
    if as_json:
        print(json.dumps([{"sink": n, **dead_letters.as_dict(letter)} for n, letter in found], default=str))
    else:
        _console().print(_letters(found))


def redrive(
    sink: _Sink,
    at: Annotated[
        list[int] | None, typer.Option("--at", metavar="PLACE", help="Only these; repeatable.")
    ] = None,
) -> None:
    """Publish the dead letters of a sink again; those that it still refuses stay."""
    target, db, delivered, refused = _sink(sink), _database(), 0, 0
    for letter in database.read(
        db, partial(dead_letters.open_ones, sink=sink, limit=REDRIVEN_AT_MOST, positions=at)
    ):
        try:
            target.publish_again([letter.event])
        except EventRefused as error:
            refused += 1
            print(f"uoop: place {letter.event.pos}: {error.reason}", file=sys.stderr)
            continue
        with db.begin() as connection:
            dead_letters.delivered(connection, sink, [letter.event])
        delivered += 1
    print(f"{delivered} delivered, {refused} refused again")
    raise typer.Exit(1 if refused else 0)


def replay(
    sink: _Sink,
    since: _Moment = None,
    until: _Moment = None,
    order: _Order = None,
    type_: _Type = None,
) -> None:
    """Publish events of the log again, under their ids: of a time (UTC), an order, or a type."""
    wanted = Selection(since=_utc(since), until=_utc(until), order_id=order, type=type_)
    if wanted == Selection():
        raise NothingSelected()
    target, published = _sink(sink), 0
    for batch in _batches(_database(), wanted):
        target.publish_again(batch)
        published += len(batch)
        print(f"\r{published:,} published", end="", file=sys.stderr, flush=True)
    print(f"\r{published:,} published again to {sink}", file=sys.stderr)


def forget(sink: _Sink) -> None:
    """Drop the place of a sink that the settings do not name any more; until then it is kept, and its lag told."""
    if sink in (in_use := _sinks()):
        raise SinkInUse(sink=sink)
    with _database().begin() as connection:
        if not relay.forget(connection, sink):
            raise NoSuchSink(sink=sink, known=", ".join(in_use))


class NothingSelected(errors.Rejected):
    """Nothing says which events are meant."""

    code = "nothing-selected"

    def __str__(self) -> str:
        return "say which events: --since, --until, --order or --type"


def _batches(db: Engine, wanted: Selection, after: int = 0) -> Iterator[Sequence[Event]]:
    while found := database.read(db, partial(queries.page, wanted=wanted, after=after, limit=BATCH)):
        yield found
        after = found[-1].pos


def _sink(name: str) -> Sink:
    sinks = _sinks()
    if name not in sinks:
        raise NoSuchSink(sink=name, known=", ".join(sinks))
    return sinks[name]


def _sinks() -> dict[str, Sink]:
    """Those in the settings, by name."""
    settings = running.connected(Settings.load())
    return {sink.name: sink for sink in wiring.sinks(settings, _database(), _beat_calls)}


def _beat_calls(_: Bell) -> None:
    """Nothing is rung from here: beat looks in within seconds."""


def _database() -> Engine:
    settings = running.connected(Settings.load())
    return database.engine(settings.database_url.get_secret_value(), pool_size=1)


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH)


def _standings(found: Sequence[SinkStanding], in_use: Container[str]) -> Table:
    table = Table("sink", "delivered", "within 5 s", "p50", "p99", "lag", "oldest", "dead", box=None)
    for one in found:
        table.add_row(
            one.sink if one.sink in in_use else f"{one.sink} (not in the settings)",
            f"{one.delivered:,}",
            "" if one.share_within_5s is None else f"{one.share_within_5s:.2%}",
            "" if one.p50_s is None else f"{one.p50_s:.3f} s",
            "" if one.p99_s is None else f"{one.p99_s:.3f} s",
            f"{one.lag:,}",
            f"{one.oldest_s:.1f} s" if one.lag else "",
            str(one.dead),
        )
    return table


def _letters(found: Sequence[tuple[str, DeadLetter]]) -> Table:
    table = Table("sink", "place", "order", "type", "dead since", "reason", box=None)
    for sink, letter in found:
        event = letter.event
        since = f"{letter.dead_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(sink, str(event.pos), event.order_id, event.type, since, letter.reason)
    return table
