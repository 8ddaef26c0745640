"""deliveries: what was reported of orders under way, and what operators do about it, by the REST API."""

import getpass
from enum import StrEnum
from typing import Annotated

import typer

from app.deliveries.queries import Standing
from infra.cli import run_tables
from infra.cli.runs import desk_client, show_told


class Mark(StrEnum):
    """To what an order can be moved by hand."""

    PREPARING = "PREPARING"
    READY_FOR_PICKUP = "READY_FOR_PICKUP"
    PICKED_UP = "PICKED_UP"
    IN_TRANSIT = "IN_TRANSIT"
    DELIVERED = "DELIVERED"


_Reason = Annotated[str, typer.Option("--reason", help="Why; kept with it.")]
_Ids = Annotated[list[str], typer.Argument(metavar="REPORT...", help="Ids of parked reports.")]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="See and steer deliveries under way.")
    group.command("list")(list_reports)
    for command in (parked, apply, dismiss, mark, refuse):
        group.command()(command)
    app.add_typer(group, name="deliveries")


def list_reports(
    fate: Annotated[Standing | None, typer.Option("--fate")] = None,
    order: Annotated[str | None, typer.Option("--order", metavar="ID", help="Tracking id.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 50,
    as_json: _Json = False,
) -> None:
    """List what was reported, newest first."""
    given: dict[str, object | None] = {"fate": fate and fate.value, "tracking_id": order, "limit": limit}
    told = desk_client().reports({name: value for name, value in given.items() if value is not None})
    show_told(told, run_tables.reports(told["reports"]), as_json=as_json)


def parked(as_json: _Json = False) -> None:
    """Show the reports that wait for a person, by reason and reporter."""
    told = desk_client().parked_reports()
    show_told(told, run_tables.parked_reports(told["groups"]), as_json=as_json)


def apply(reports: _Ids, reason: _Reason, as_json: _Json = False) -> None:
    """Take parked reports up again: what was impossible may be possible now."""
    _settle("apply", reports, reason, as_json=as_json)


def dismiss(reports: _Ids, reason: _Reason, as_json: _Json = False) -> None:
    """Leave parked reports alone for good."""
    _settle("dismiss", reports, reason, as_json=as_json)


def mark(
    order: Annotated[str, typer.Argument(metavar="ID", help="Tracking id.")],
    status: Mark,
    reason: _Reason,
    as_json: _Json = False,
) -> None:
    """Move an order forward by hand."""
    told = desk_client().mark_order(order, {"status": status.value, **_why(reason)})
    show_told(told, f"{told['tracking_id']}: {told['before']} -> {told['status']}", as_json=as_json)


def refuse(
    order: Annotated[str, typer.Argument(metavar="ID", help="Tracking id.")],
    courier: Annotated[str, typer.Argument(help="Of the own fleet, who has the order now.")],
    reason: _Reason,
    as_json: _Json = False,
) -> None:
    """Take an order from a courier who will not bring it; another one gets it, or a partner."""
    told = desk_client().refuse_order(order, {"courier": courier, **_why(reason)})
    show_told(
        told, f"{told['tracking_id']} waits for another courier than {told['courier']}", as_json=as_json
    )


def _settle(act: str, reports: list[str], reason: str, *, as_json: bool) -> None:
    told = desk_client().settle_reports({"act": act, "report_ids": reports, **_why(reason)})
    show_told(told, f"{act}: {told['reports']} of {len(reports)} were parked", as_json=as_json)


def _why(reason: str) -> dict[str, object]:
    return {"reason": reason, "operator": getpass.getuser()}
