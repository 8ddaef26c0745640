"""webhooks: where tenants have their events posted, by the desk that the REST API uses. The API may be away."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from app import database
from app.outbox.model import EventType
from app.webhooks.desk import WebhookDesk
from app.webhooks.model import Changes, Replay
from infra import running, wiring
from infra.cli import events, keys, listing
from infra.settings import Settings

_Tenant = Annotated[str, typer.Option("--tenant", help="Whose it is.")]
_Id = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id.")]
_Order = Annotated[str | None, typer.Option("--order", metavar="ID", help="Only of this order.")]
_Moment = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"], help="In UTC.")]
_Types = Annotated[
    list[EventType] | None, typer.Option("--type", help="Only of this type; repeatable. Without it, all.")
]
_Description = Annotated[str | None, typer.Option("--description", help="For people.")]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="Where tenants have their events posted.")
    group.command("list")(list_webhooks)
    for command in (create, change, rotate, enable, disable, delete, test, deliveries, replay):
        group.command()(command)
    app.add_typer(group, name="webhooks")


def list_webhooks(tenant: _Tenant = "default", as_json: _Json = False) -> None:
    """List a tenant's webhooks, oldest first."""
    shown = ("id", "url", "types", "state", "reason", "failures", "description")
    listing.show(_desk().webhooks(tenant), as_json=as_json, columns=shown)


def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="https, port 443 or 8443.")],
    types: _Types = None,
    description: _Description = None,
    tenant: _Tenant = "default",
) -> None:
    """Have events posted there; prints the webhook with its secret, this once, as JSON."""
    _print(_desk().create(tenant, url=url, types=types or [], description=description))


def change(
    webhook: _Id,
    url: Annotated[str | None, typer.Option("--url", help="Another address.")] = None,
    types: _Types = None,
    description: _Description = None,
    tenant: _Tenant = "default",
) -> None:
    """Change its address, types or description; what is not given stays."""
    _print(_desk().change(tenant, webhook, Changes(url=url, types=types, description=description)))


def rotate(
    webhook: _Id,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="TIME", help="How long the old secret signs too.")
    ] = "24h",
    tenant: _Tenant = "default",
) -> None:
    """Make a new secret and print it, this once."""
    overlap_s = keys.duration(overlap).total_seconds()
    _print(_desk().rotate(tenant, webhook, overlap_s=overlap_s))


def enable(webhook: _Id, tenant: _Tenant = "default") -> None:
    """Send again, first what has waited."""
    _print(_desk().enable(tenant, webhook))


def disable(webhook: _Id, tenant: _Tenant = "default") -> None:
    """Send nothing until it is enabled; what waits is kept for seven days."""
    _print(_desk().disable(tenant, webhook))


def delete(webhook: _Id, tenant: _Tenant = "default") -> None:
    """Forget it, with all that waits for it."""
    _desk().delete(tenant, webhook)


def test(webhook: _Id, tenant: _Tenant = "default") -> None:
    """Post a test event now and print the answer; exit 1 if it was not taken."""
    tested = _desk().test(tenant, webhook)
    _print(tested)
    raise typer.Exit(0 if tested.taken else 1)


def deliveries(
    webhook: _Id,
    failed: Annotated[bool, typer.Option("--failed", help="Only those tried in vain so far.")] = False,
    order: _Order = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 50,
    tenant: _Tenant = "default",
    as_json: _Json = False,
) -> None:
    """List what was and will be sent there in seven days, newest events first."""
    page = _desk().deliveries(tenant, webhook, failed=failed, order_id=order, after=None, limit=limit)
    shown = (
        "place",
        "type",
        "order_id",
        "sequence",
        "state",
        "tries",
        "status",
        "took_ms",
        "error",
        "due_at",
    )
    listing.show(page.deliveries, as_json=as_json, columns=shown)


def replay(
    webhook: _Id,
    since: _Moment = None,
    until: _Moment = None,
    order: _Order = None,
    type_: Annotated[EventType | None, typer.Option("--type", help="Only of this type.")] = None,
    tenant: _Tenant = "default",
) -> None:
    """Send events of the last seven days there again, under their ids."""
    wanted = Replay(since=_utc(since), until=_utc(until), order_id=order, type=type_)
    if wanted == Replay():
        raise events.NothingSelected()
    desk, chosen = _desk(), 0
    while True:
        again = desk.replay(tenant, webhook, wanted)
        chosen += again.events
        if again.next_after is None:
            break
        wanted = replace(wanted, after=again.next_after)
    print(f"{chosen:,} events will be sent again")


def _desk() -> WebhookDesk:
    settings = running.connected(Settings.load())
    db = database.engine(settings.database_url.get_secret_value(), pool_size=1)
    return wiring.webhook_desk(settings, db, ring=_beat_calls)


def _beat_calls() -> None:
    """Nothing is rung from here: beat looks in within seconds."""


def _print(told: object) -> None:
    print(json.dumps(msgspec.to_builtins(told), indent=2))


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)
