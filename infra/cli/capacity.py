"""capacity: what kitchens, zones, channels and partners have taken and may take, by the REST API."""

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from app.capacity.model import SlotKind
from infra.cli.runs import desk_client, show_told

_FORMATS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
_Kind = Annotated[SlotKind, typer.Argument(help="What takes orders.")]
_Name = Annotated[str, typer.Argument(help="The restaurant's id, the zone, or the channel.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the log of acts.")]
_From = Annotated[
    datetime | None,
    typer.Option("--from", formats=_FORMATS, help="For the windows from then on only; in UTC."),
]
_Until = Annotated[
    datetime | None, typer.Option("--until", formats=_FORMATS, help="In UTC; without it, one window.")
]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="What kitchens, zones, channels and partners take per quarter of an hour.")
    group.callback(invoke_without_command=True)(show)
    group.command("limits")(limits)
    group.command("limit")(limit)
    group.command("unlimit")(unlimit)
    app.add_typer(group, name="capacity")


def show(
    context: typer.Context,
    kind: Annotated[SlotKind | None, typer.Option("--kind")] = None,
    name: Annotated[str | None, typer.Option("--name")] = None,
    back: Annotated[int, typer.Option("--back", metavar="HOURS", min=0, max=12)] = 4,
    ahead: Annotated[int, typer.Option("--ahead", metavar="HOURS", min=1, max=12)] = 2,
    most: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Slots shown.")] = 40,
    picture: Annotated[
        bool, typer.Option("--picture", help="A heat map of the zones instead, as SVG.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Show what is taken, held and refused, and what will be full when; or change what may be taken."""
    if context.invoked_subcommand is not None:
        return
    span = {"back_h": back, "ahead_h": ahead}
    if picture:
        print(desk_client().capacity_picture(span), end="")
        return
    given = {"kind": kind.value if kind else None, "name": name, "limit": most, **span}
    told = desk_client().capacity({key: value for key, value in given.items() if value is not None})
    show_told(told, _usage(told), as_json=as_json)


def limits(as_json: _Json = False) -> None:
    """Show what may be taken, and who changed it lately."""
    told = desk_client().capacity_limits()
    show_told(told, _limits(told), as_json=as_json)


def limit(
    kind: _Kind,
    name: _Name,
    capacity: Annotated[int, typer.Argument(min=0, help="Orders per quarter of an hour.")],
    reason: _Reason,
    since: _From = None,
    until: _Until = None,
    as_json: _Json = False,
) -> None:
    """Set what may be taken, from now on; who holds a place keeps it."""
    _set(kind, name, capacity, reason, since, until, as_json=as_json)


def unlimit(
    kind: _Kind,
    name: _Name,
    reason: _Reason,
    since: _From = None,
    until: _Until = None,
    as_json: _Json = False,
) -> None:
    """Take a limit away."""
    _set(kind, name, None, reason, since, until, as_json=as_json)


def _set(
    kind: SlotKind,
    name: str,
    capacity: int | None,
    reason: str,
    since: datetime | None,
    until: datetime | None,
    *,
    as_json: bool,
) -> None:
    times = {
        key: moment.replace(tzinfo=UTC).isoformat()
        for key, moment in (("since", since), ("until", until))
        if moment is not None
    }
    told = desk_client().set_capacity_limit(
        {
            "kind": kind.value,
            "name": name,
            "capacity": capacity,
            "reason": reason,
            "operator": getpass.getuser(),
            **times,
        }
    )
    show_told(told, _limits(told), as_json=as_json)


def _usage(told: Mapping[str, Any]) -> RenderableType:
    table = _table("window", "kind", "name", "taken", "of", "held", "committed", "refused", "full at")
    for each in told["slots"]:
        table.add_row(
            _clock(each["window_from"]),
            each["kind"],
            each["name"],
            str(each["taken"]),
            _number(each["capacity"]),
            str(each["held"]),
            str(each["committed"]),
            str(each["refused"] or ""),
            _clock(each["full_at"]) if each["full_at"] else "",
        )
    return table


def _limits(told: Mapping[str, Any]) -> RenderableType:
    table = _table("limit of", "", "window", "orders")
    for each in told["limits"]:
        window = _clock(each["window_from"]) if each["window_from"] else "all"
        table.add_row(each["kind"], each["name"], window, str(each["capacity"]))
    table.add_row("kitchen", "of which nothing is said", "all", str(told["usual"]))
    acts = _table("at", "", "", "from", "until", "orders", "who", "why")
    for act in told["acts"]:
        acts.add_row(
            _clock(act["at"]),
            act["kind"],
            act["name"],
            _clock(act["since"]) if act["since"] else "",
            _clock(act["until"]) if act["until"] else "",
            "none" if act["capacity"] is None else str(act["capacity"]),
            act["who"],
            act["why"],
        )
    return Group(table, "", acts) if told["acts"] else table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _clock(moment: str) -> str:
    return moment[5:16].replace("T", " ")
