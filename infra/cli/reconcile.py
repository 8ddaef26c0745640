"""reconcile: compare our books with the providers' own lists."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app import database, errors
from app.settlement import differences
from app.settlement.checks import Check, Phase
from app.settlement.service import MARGIN_S
from infra import running, wiring
from infra.cli import difference_tables
from infra.cli.orders import UNBOUNDED_WIDTH
from infra.settings import Settings

ANOTHER_LETS_GO_WITHIN_S = 120.0
_DAY = timedelta(days=1)
_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


class OddSpan(errors.Rejected):
    """The span of time cannot be compared."""

    code = "odd-span"

    def __str__(self) -> str:
        return str(self.data["why"])


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(reconcile)


def reconcile(
    day: Annotated[
        datetime | None,
        typer.Option("--day", formats=["%Y-%m-%d"], help="A day in UTC; without it, yesterday."),
    ] = None,
    since: Annotated[datetime | None, typer.Option("--since", formats=_FORMATS, help="In UTC.")] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", formats=_FORMATS, help="In UTC; without it, now.")
    ] = None,
    provider: Annotated[str | None, typer.Option("--provider", help="This one only.")] = None,
    margin_s: Annotated[
        float,
        typer.Option("--margin", metavar="SECONDS", min=0, help="What changed since then is not judged yet."),
    ] = MARGIN_S,
    as_json: Annotated[bool, typer.Option("--json", help="One object, for programs.")] = False,
) -> None:
    """Compare our books with the providers' own lists; exit 1 if something differs or could not be compared."""
    begin, end = _span(day, since, until)
    settings = running.connected(Settings.load())
    db = database.engine(settings.database_url.get_secret_value(), pool_size=2)
    try:
        settling = wiring.settlement(settings, db)
        ids = settling.plan(since=begin, until=end, provider=provider, margin_s=margin_s)
        with _progress() as tell:
            checked = settling.run(ids, tell, within_s=ANOTHER_LETS_GO_WITHIN_S)
        groups = database.read(db, lambda connection: differences.groups(connection, None, provider))
    finally:
        db.dispose()
    told = {
        "since": begin.isoformat(),
        "until": end.isoformat(),
        "checks": [_told(check) for check in checked],
        "differences": [difference_tables.plain(group) for group in groups],
    }
    if as_json:
        print(json.dumps(told))
    else:
        width = None if sys.stdout.isatty() else UNBOUNDED_WIDTH
        Console(width=width).print(difference_tables.reconciled(told), markup=False)
    clean = not groups and not any(check.trouble for check in checked)
    raise typer.Exit(0 if clean else 1)


def _span(day: datetime | None, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """:raises OddSpan:"""
    now = datetime.now(UTC)
    if day is not None and (since or until):
        raise OddSpan(why="give a --day, or --since and --until")
    if until is not None and since is None:
        raise OddSpan(why="--until needs --since")
    if since is not None:
        begin, end = since.replace(tzinfo=UTC), (until.replace(tzinfo=UTC) if until else now)
    else:
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        begin = day.replace(tzinfo=UTC) if day else today - _DAY
        end = begin + _DAY
    if begin >= min(end, now):
        raise OddSpan(why="nothing lies between these times yet")
    return begin, end


@contextmanager
def _progress() -> Iterator[Callable[[Sequence[Check]], None]]:
    """Show how far it is; on stderr, so that stdout is for results."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)

        def tell(now: Sequence[Check]) -> None:
            done = sum(check.phase is Phase.DONE for check in now)
            here = next((c for c in now if c.phase is not Phase.DONE and not c.trouble), None)
            place = f"{here.provider} {here.resource}: {here.phase}, " if here else ""
            counts = f"{sum(c.theirs for c in now)} of theirs, {sum(c.ours for c in now)} of ours looked for"
            progress.update(task, description=f"{done}/{len(now)} {place}{counts}")

        yield tell


def _told(check: Check) -> dict[str, Any]:
    return {
        "provider": check.provider,
        "resource": check.resource,
        "listed": check.listed,
        "theirs": check.theirs,
        "ours": check.ours,
        "trouble": check.trouble,
    }
