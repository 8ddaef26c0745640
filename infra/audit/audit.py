"""Auditing: one statement per check, over two pictures taken in two sessions of Postgres side by side."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import psycopg2
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from app import database
from infra.audit import load, picture
from infra.audit.checks import CHECKS
from infra.audit.model import Check, Finding, Level, Needs, Picture, Report, SourceAway, Standing
from infra.audit.sources import sandbox
from infra.settings import Settings

_SESSION = (
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET temp_buffers = '128MB'",
    "SET work_mem = '256MB'",
    "SET client_min_messages = warning",
)

_LOOSE = {Level.OPEN: Standing.OPEN, Level.LATENCY: Standing.WARN, Level.TOLD: Standing.TOLD}


def audit(
    settings: Settings,
    journals: Sequence[Path] = (),
    *,
    consumed: Mapping[str, Path] = MappingProxyType({}),
    settled: bool = False,
    strict_latency: bool = False,
    effects: Iterable[bytes] | None = None,
) -> Report:
    """
    Recompute the promises. May run while orders flow.

    :param journals: what clients wrote down of their 202s; without one, three checks of P1 and P2 are skipped
    :param consumed: what consumers wrote down of every event, in their order, by the sink or the webhook's id
    :param settled: everything should have ended, so work under way is a violation too
    :param strict_latency: no store was away, so late events are a violation too
    :param effects: the providers' ledger in the sandbox's TSV format; by default the running sandbox's own
    :raises SourceAway: if a store does not answer
    :raises JournalUnreadable: if a journal cannot be read
    """
    if effects is None and settings.runs("sandbox"):
        effects = sandbox.effects(settings.home)
    missing = {
        Needs.JOURNAL: not journals,
        Needs.EFFECTS: effects is None,
        Needs.CONSUMED: not consumed,
    }
    skipped = {needs for needs, is_missing in missing.items() if is_missing}
    strict = {Level.OPEN: settled, Level.LATENCY: strict_latency, Level.VIOLATION: True, Level.TOLD: False}
    copying: dict[Picture, Callable[[Connection], None]] = {
        Picture.ORDERS: lambda c: load.orders(c, settings, journals=journals, effects=effects or ()),
        Picture.EVENTS: lambda c: load.events(c, settings, consumed=consumed),
    }
    statements = {Picture.ORDERS: picture.ORDERS, Picture.EVENTS: picture.EVENTS}
    engine = database.engine(settings.database_url.get_secret_value(), pool_size=len(Picture))

    def look(at: Picture) -> list[Finding]:
        with engine.connect() as connection:
            _copy_others(connection, copying[at])
            with connection.begin():
                picture.take(connection, statements[at])
                mine = [check for check in CHECKS if check.picture is at]
                return [_find(connection, check, strict[check.level], skipped) for check in mine]

    try:
        with ThreadPoolExecutor(max_workers=len(Picture)) as pool:
            found = {finding.check.name: finding for part in pool.map(look, Picture) for finding in part}
    except (OperationalError, psycopg2.OperationalError) as error:
        raise SourceAway(source="Postgres", reason=_first_line(error)) from error
    finally:
        engine.dispose()
    return Report(checks=tuple(found[check.name] for check in CHECKS))


def _copy_others(connection: Connection, copying: Callable[[Connection], None]) -> None:
    connection.execution_options(isolation_level="REPEATABLE READ")
    with connection.begin():
        for statement in _SESSION:
            connection.execute(text(statement))
        copying(connection)


def _find(connection: Connection, check: Check, strict: bool, skipped: set[Needs]) -> Finding:
    if check.needs in skipped:
        return Finding(check=check, standing=Standing.SKIP)
    among, wrong, some = connection.execute(text(check.sql)).one()
    standing = Standing.OK
    if wrong > check.may_miss * among:
        standing = Standing.FAIL if strict else _LOOSE[check.level]
    return Finding(check=check, standing=standing, among=among, wrong=wrong, some=tuple(some or ()))


def _first_line(error: DBAPIError | psycopg2.Error) -> str:
    return str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
