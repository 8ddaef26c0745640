"""simulate: a recorded day under a policy, through the optimizer."""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.optimization.pool.model import Plan
from infra.simulation import figures, instance, pictures, solution
from infra.simulation.figures import Figures
from infra.simulation.play import play
from infra.simulation.policies import Policy
from infra.simulation.world import World


class Known(StrEnum):
    """A flag that is given its value."""

    TRUE = "true"
    FALSE = "false"


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(simulate)


def simulate(
    path: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of a recorded day.")],
    policy: Annotated[Policy, typer.Option(help="Who chooses the couriers.")] = Policy.FULL,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Write the solution's three files into this folder.")
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Write plan.svg, the plan over most orders, and day.svg, the day beside fifo-nearest.",
        ),
    ] = None,
    prep_known: Annotated[
        Known,
        typer.Option(
            help="Whether it is known from the first when a meal will be ready; else it is foretold from what "
            "the kitchen took before.",
        ),
    ] = Known.TRUE,
    as_json: Annotated[bool, typer.Option("--json", help="One object on the last line.")] = False,
) -> None:
    """Play a recorded day event by event through the optimizer that plans live orders, and tell how it went."""
    day = instance.read(path)
    known = prep_known is Known.TRUE
    first, solves = play(day, Policy.FIFO_NEAREST)
    fifo = figures.of(Policy.FIFO_NEAREST, first, solves, prep_known=True, fifo_mean=None)
    busiest = _Busiest()
    world, solves = play(day, policy, prep_known=known, tell=busiest.see)
    found = figures.of(policy, world, solves, prep_known=known, fifo_mean=fifo.click_to_door_mean)
    if out is not None:
        solution.write(out, world)
    if draw is not None:
        draw.mkdir(parents=True, exist_ok=True)
        if busiest.picture:
            (draw / "plan.svg").write_text(busiest.picture)
        if day.orders:
            (draw / "day.svg").write_text(pictures.day_chart(first, world, (Policy.FIFO_NEAREST, policy)))
    _show(found)
    if as_json:
        print(json.dumps(found.as_dict()))


@dataclass(slots=True)
class _Busiest:
    """The plan over most orders, drawn while it is on the table."""

    orders: int = 0
    picture: str = ""

    def see(self, world: World, plan: Plan) -> None:
        if plan.trips and len(world.open) > self.orders:
            self.orders = len(world.open)
            self.picture = pictures.plan_map(world, plan)


def _show(found: Figures) -> None:
    print(
        f" {found.instance}: {found.orders} orders, policy {found.policy}"
        f"{'' if found.prep_known else ', preparation unknown'}\n"
        f" click to door    mean {found.click_to_door_mean:.2f} min, p50 {found.click_to_door_p50:.0f}, "
        f"p90 {found.click_to_door_p90:.0f}, p99 {found.click_to_door_p99:.0f} (floor {found.floor_mean:.2f})\n"
        f" ready to pickup  mean {found.ready_to_pickup_mean:.2f} min\n"
        f" ready to door    mean {found.ready_to_door_mean:.2f} min\n"
        f" undelivered      {found.undelivered_share:.2%}\n"
        f" per bundle       {found.orders_per_bundle:.2f} orders\n"
        f" cost per order   {found.cost_per_order:.2f}\n"
        f" avoidable        {found.avoidable_removed_share:.1%} removed, against fifo-nearest\n"
        f" solve            p50 {found.solve_p50_ms:.1f} ms, p99 {found.solve_p99_ms:.1f}, "
        f"max {found.solve_max_ms:.1f} in {found.solves} plans (CPU p50 {found.solve_cpu_p50_ms:.1f}, "
        f"p99 {found.solve_cpu_p99_ms:.1f}); {found.fallbacks} fallbacks"
    )
