"""runs: what operators see and do, by the REST API."""

import getpass
import json
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType

from app import errors
from app.runs.allowed import Act
from app.runs.views import State
from infra import running
from infra.cli import run_tables
from infra.cli.orders import UNBOUNDED_WIDTH
from infra.client.rest import Client
from infra.settings import Settings

WAIT_AT_MOST_S = 20.0
_HELP = {
    Act.RETRY: "A waiting run is due now; a parked one goes on where it stopped.",
    Act.SKIP: "The step where a run stands, or --step of them, counts as done.",
    Act.REDRIVE: "A parked run goes on from an earlier --step, by the same keys.",
    Act.COMPENSATE: "Undo all that a run may have done; its order fails.",
    Act.CANCEL: "Cancel, as the client could; heeded before the pivot.",
    Act.TERMINATE: "End a run as it is, without undoing anything; needs --confirm.",
}

_State = Annotated[State | None, typer.Option("--state")]
_At = Annotated[
    str | None, typer.Option("--at", metavar="STEP", help="The step where runs stand or stopped.")
]
_Code = Annotated[str | None, typer.Option("--code", help="Of the failure, or of what delays a run.")]
_Customer = Annotated[str | None, typer.Option("--customer")]
_Partner = Annotated[str | None, typer.Option("--partner")]
_External = Annotated[str | None, typer.Option("--external", metavar="ID", help="External order id.")]
_Saga = Annotated[str | None, typer.Option("--saga")]
_Older = Annotated[float | None, typer.Option("--older-than", metavar="SECONDS", min=0)]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


class NothingNamed(errors.Rejected):
    """Neither a run nor a filter was named."""

    code = "nothing-named"

    def __str__(self) -> str:
        return "name a run, or runs by a filter such as --state parked --at STEP"


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="See and steer runs.")
    group.command("list")(list_runs)
    group.command()(show)
    group.command()(parked)
    group.command()(reroute)
    for act in Act:
        group.command(act.value, help=_HELP[act])(_command(act))
    app.add_typer(group, name="runs")


def list_runs(
    state: _State = None,
    at: _At = None,
    code: _Code = None,
    customer: _Customer = None,
    partner: _Partner = None,
    external: _External = None,
    saga: _Saga = None,
    older_than: _Older = None,
    order: Annotated[str | None, typer.Option("--order", metavar="ID", help="All runs of one order.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100)] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where a list has ended.")] = None,
    as_json: _Json = False,
) -> None:
    """List runs, newest first."""
    wanted = _filter(state, at, code, customer, partner, external, saga, older_than)
    more = {name: value for name, value in (("cursor", cursor), ("tracking_id", order)) if value is not None}
    told = desk_client().runs({**wanted, "limit": limit, **more})
    show_told(told, run_tables.runs(told["runs"]), as_json=as_json)
    if told["next_cursor"] and not as_json:
        print(f"more: --cursor {told['next_cursor']}", file=sys.stderr)


def show(
    run: Annotated[str, typer.Argument(metavar="ID", help="Tracking id or run id.")], as_json: _Json = False
) -> None:
    """Tell a run's whole story."""
    told = desk_client().run(run)
    show_told(told, run_tables.story(told), as_json=as_json)


def parked(as_json: _Json = False) -> None:
    """Show what waits for a person, by step and reason, and what is paused."""
    client = desk_client()
    told, paused = client.parked(), client.pauses()["pauses"]
    shown = [run_tables.parked(told["groups"])]
    if paused:
        shown += ["", run_tables.paused(paused)]
    show_told({**told, "pauses": paused}, Group(*shown), as_json=as_json)


def reroute(
    order: Annotated[str, typer.Argument(metavar="ID", help="Tracking id.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log of acts.")],
    as_json: _Json = False,
) -> None:
    """Give an order to another partner, before it is picked up."""
    told = desk_client().reroute_order(order, {"reason": reason, "operator": getpass.getuser()})
    show_told(told, f"run {told['run_id']} finds {told['tracking_id']} another partner", as_json=as_json)


def _command(act: Act) -> Callable[..., None]:
    def command(
        reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log of acts.")],
        run: Annotated[
            str | None, typer.Argument(metavar="[ID]", help="Tracking id or run id; without it, a filter.")
        ] = None,
        step: Annotated[str | None, typer.Option("--step", help="To skip, or to re-drive from.")] = None,
        confirm: Annotated[bool, typer.Option("--confirm", help="Yes, leave it standing.")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
        state: _State = None,
        at: _At = None,
        code: _Code = None,
        customer: _Customer = None,
        partner: _Partner = None,
        external: _External = None,
        saga: _Saga = None,
        older_than: _Older = None,
        rate: Annotated[
            float | None, typer.Option("--rate", help="So many runs a second become due.")
        ] = None,
        as_json: _Json = False,
    ) -> None:
        wanted = _filter(state, at, code, customer, partner, external, saga, older_than)
        if bool(wanted) == (run is not None):
            raise NothingNamed()
        instruction: dict[str, object] = {
            "reason": reason,
            "operator": getpass.getuser(),
            "confirm": confirm,
            "dry_run": dry_run,
            **({} if step is None else {"step": step}),
        }
        if run is not None:
            told = desk_client().act_on_run(run, act, instruction)
            show_told(told, run_tables.acted(told), as_json=as_json)
        else:
            pace: dict[str, object] = {} if rate is None else {"rate_per_s": rate}
            told = desk_client().act_on_runs({**instruction, "act": act, "filter": wanted, **pace})
            show_told(told, run_tables.acted_in_bulk(told), as_json=as_json)

    return command


def _filter(
    state: State | None,
    at: str | None,
    code: str | None,
    customer: str | None,
    partner: str | None,
    external: str | None,
    saga: str | None,
    older_than: float | None,
) -> dict[str, object]:
    given: dict[str, object | None] = {
        "state": None if state is None else state.value,
        "step": at,
        "code": code,
        "customer_id": customer,
        "partner": partner,
        "external_order_id": external,
        "saga": saga,
        "older_than_s": older_than,
    }
    return {name: value for name, value in given.items() if value is not None}


def desk_client() -> Client:
    """Speaks to the API of this home."""
    return Client.of(running.connected(Settings.load()), patience_s=WAIT_AT_MOST_S)


def show_told(told: object, shown: RenderableType, *, as_json: bool) -> None:
    """Print what the API told: as it is for programs, as `shown` for people."""
    if as_json:
        print(json.dumps(told))
    else:
        Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH).print(shown, markup=False)
