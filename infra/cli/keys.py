"""keys, tenants: who may come in, and as whom. They speak to Postgres, so they also work while the API is away."""

import getpass
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated

import typer
from sqlalchemy import Connection

from app import database, errors
from app.tenants import keys
from app.tenants import service as tenants
from infra import running
from infra.cli import listing
from infra.settings import Settings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_TENANT_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")

_Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Letters, digits, dots, dashes, underscores.")]
_Prefix = Annotated[
    str, typer.Argument(metavar="PREFIX", help="The visible part: of uoop_1a2b3c4d_..., 1a2b3c4d.")
]
_Expires = Annotated[
    str | None, typer.Option("--expires-in", metavar="TIME", help="Such as 12h or 90d; without it, never.")
]
_Rate = Annotated[
    int | None, typer.Option("--rate", min=1, help="Requests a second; else as the settings say.")
]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


class NoDuration(errors.Rejected):
    """That is no time."""

    code = "no-duration"

    def __str__(self) -> str:
        return f"{self.data['given']} is no time: write a number and s, m, h or d, such as 12h"


class NoTenantId(errors.Rejected):
    """That cannot be a tenant's id."""

    code = "no-tenant-id"

    def __str__(self) -> str:
        return f"a tenant's id is 1 to 64 letters, digits, dots, dashes and underscores, not {self.data['given']!r}"


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    of_keys = typer.Typer(no_args_is_help=True, help="API keys.")
    for command in (create, rotate, revoke):
        of_keys.command()(command)
    of_keys.command("list")(list_keys)
    app.add_typer(of_keys, name="keys")
    of_tenants = typer.Typer(no_args_is_help=True, help="Tenants: each sees its own orders only.")
    of_tenants.command("create")(create_tenant)
    of_tenants.command("list")(list_tenants)
    of_tenants.command("rate")(set_rate)
    app.add_typer(of_tenants, name="tenants")


def create(
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose key; made by `uoop tenants create`.")
    ] = "default",
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help=f"Of {', '.join(keys.ALL_SCOPES)}; once for each.")
    ] = None,
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    expires_in: _Expires = None,
    rate: _Rate = None,
    as_json: _Json = False,
) -> None:
    """Make a key and print it, this once: only its digest is kept."""
    lifetime = _lifetime(expires_in)
    with _transaction() as (connection, _):
        token = keys.create(
            connection,
            tenant,
            scopes=scope or ["orders:write", "orders:read"],
            who=getpass.getuser(),
            label=label,
            lifetime=lifetime,
            rate_per_s=rate,
        )
    _print_token(token, as_json=as_json)


def rotate(
    prefix: _Prefix,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="TIME", help="How long the old one goes on.")
    ] = "24h",
    expires_in: _Expires = None,
    as_json: _Json = False,
) -> None:
    """Make a key's successor and print it, this once; the old one ends after the overlap."""
    lifetime, after = _lifetime(expires_in), duration(overlap)
    with _transaction() as (connection, _):
        token = keys.rotate(connection, prefix, overlap=after, lifetime=lifetime, who=getpass.getuser())
    _print_token(token, as_json=as_json)


def revoke(prefix: _Prefix) -> None:
    """End a key now; every API process heeds it within seconds."""
    with _transaction() as (connection, _):
        keys.revoke(connection, prefix, who=getpass.getuser())


def list_keys(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this one's.")] = None,
    as_json: _Json = False,
) -> None:
    """List keys, without their secrets."""
    with _transaction() as (connection, _):
        found = keys.listing(connection, tenant)
    listing.show(found, as_json=as_json)


def create_tenant(
    tenant: _Tenant,
    name: Annotated[str | None, typer.Option("--name", help="For people; else the id.")] = None,
    rate: _Rate = None,
) -> None:
    """Make a tenant; its keys are made by `uoop keys create --tenant`."""
    if not _TENANT_ID.fullmatch(tenant):
        raise NoTenantId(given=tenant)
    with _transaction() as (connection, settings):
        tenants.create_tenant(
            connection,
            tenant,
            name=name or tenant,
            order_deadline_s=settings.order_deadline_s,
            rate_per_s=rate,
        )


def list_tenants(as_json: _Json = False) -> None:
    """List tenants, with how many keys of theirs are in use."""
    with _transaction() as (connection, _):
        found = tenants.tenants(connection)
    listing.show(found, as_json=as_json)


def set_rate(tenant: _Tenant, rate: _Rate = None) -> None:
    """Change how many requests a second all keys of a tenant may make together."""
    with _transaction() as (connection, _):
        tenants.set_rate(connection, tenant, rate)


def duration(written: str) -> timedelta:
    """
    Read a time such as 90s, 15m, 12h or 30d.

    :raises NoDuration: if it is none
    """
    found = _DURATION.fullmatch(written)
    if found is None:
        raise NoDuration(given=written)
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def _lifetime(written: str | None) -> timedelta | None:
    return None if written is None else duration(written)


@contextmanager
def _transaction() -> Iterator[tuple[Connection, Settings]]:
    settings = running.connected(Settings.load())
    engine = database.engine(settings.database_url.get_secret_value(), pool_size=1)
    try:
        with engine.begin() as connection:
            yield connection, settings
    finally:
        engine.dispose()


def _print_token(token: str, *, as_json: bool) -> None:
    print(json.dumps({"key": token, "prefix": keys.prefix(token)}) if as_json else token)
