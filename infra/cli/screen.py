"""What a run looks like in the terminal: a bar while it goes on, then what it came to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.demo import play
from infra.demo.play import Summary
from infra.settings import Settings

EVERY_S = 0.5


@contextmanager
def bar(total: int) -> Iterator[Callable[[play.Progress], None]]:
    """Show how far a run is; on stderr, so that stdout is for results."""
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.completed}/{task.total} ended"),
        TextColumn("accepted {task.fields[accepted]}"),
        TextColumn("[green]confirmed {task.fields[confirmed]}"),
        TextColumn("[yellow]failed {task.fields[failed]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=1 / EVERY_S) as progress:
        task = progress.add_task("", total=total, accepted=0, confirmed=0, failed=0)

        def tell(now: play.Progress) -> None:
            progress.update(
                task,
                completed=now.confirmed + now.failed,
                accepted=now.accepted,
                confirmed=now.confirmed,
                failed=now.failed,
            )

        yield tell


def summary(found: Summary, console: Console) -> None:
    """Print what a run came to."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("accepted", str(found.accepted))
    table.add_row("confirmed", str(found.confirmed), _times(found.p50_s, found.p99_s))
    why = ", ".join(f"{code} {count}" for code, count in sorted(found.reasons.items()))
    table.add_row("compensated", str(found.compensated), why)
    table.add_row("failed", str(found.failed), "refused before anything had been begun")
    if found.parked:
        table.add_row("[red]parked", str(found.parked), "a person must look at them")
    table.add_row("lost" if not found.lost else "[red]lost", str(found.lost))
    table.add_row("duplicates" if not found.duplicates else "[red]duplicates", str(found.duplicates))
    if found.refused:
        table.add_row("refused", str(found.refused), "by the API, for good")
    if found.unanswered:
        table.add_row("[red]unanswered", str(found.unanswered), "sent, and never answered")
    table.add_row(
        "events", str(found.events_delivered), f"of {found.events}, p99 {_seconds(found.events_p99_s)}"
    )
    table.add_row("orders/s", f"{found.orders_per_s:.0f}", "until 95 % had ended")
    table.add_row("audit", found.audit, f"journal {found.journal}")
    console.print(table)
    if found.audit != "clean":
        for line in found.audit_lines:
            console.print(f"  {line}", markup=False)


def addresses(settings: Settings, console: Console) -> None:
    """Print where things are, and a request that is ready to be sent."""
    api = f"http://{settings.host}:{settings.port}"
    key = f"$(cat {settings.home / 'api-key'})"
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("API docs", f"{api}/docs")
    table.add_row("order list", f"{api}/v1/orders", "with the API key, as below")
    table.add_row("metrics", f"{api}/metrics")
    if settings.runs("flower"):
        flower = f"http://127.0.0.1:{settings.flower_port}"
        table.add_row("Flower", flower, f"user uoop, password in {settings.home / 'flower-password'}")
    console.print(table)
    console.print("\nSend an order yourself:", markup=False)
    for line in _CURL.format(api=api, key=key).splitlines():
        print(line)
    print(f'\ncurl -s -H "Authorization: Bearer {key}" {api}/v1/orders?limit=5')


_CURL = """\
curl -s {api}/v1/orders -H "Authorization: Bearer {key}" \\
  -H "Idempotency-Key: $(date +%s%N)" -H "Content-Type: application/json" -d '{{
    "customer_id": "aisha", "restaurant_id": "kitchen-1-001",
    "items": [{{"sku": "machboos", "name": "Machboos", "quantity": 2, "unit_price": "3.500"}}],
    "delivery_location": {{"lat": 26.2235, "lng": 50.5876, "address": "Road 1, Manama"}},
    "total_amount": "7.000", "currency": "BHD"}}'"""


def _times(p50_s: float | None, p99_s: float | None) -> str:
    return f"p50 {_seconds(p50_s)}, p99 {_seconds(p99_s)} from POST to CONFIRMED"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
