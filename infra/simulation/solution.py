"""
Writes a played day as published solutions of such instances are written: three files, space-separated.

    solution_info_assignments.txt   assignment_time pickup_time courier orders (in the order of doors)
    solution_info_orders.txt        order placement_time ready_time pickup_time dropoff_time courier
    solution_info_couriers.txt      courier departure_time origin destination; a blank line after each courier
"""

from collections.abc import Iterable
from pathlib import Path

from infra.simulation.world import World


def write(folder: Path, world: World) -> None:
    """Write the three files; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    fetched = sorted(world.fetched, key=lambda one: (one.pickup, one.courier))
    _write(
        folder / "solution_info_assignments.txt",
        "assignment_time pickup_time courier orders",
        (
            f"{one.assigned} {one.pickup} {one.courier} {' '.join(order.id for order in one.orders)}"
            for one in fetched
        ),
    )
    _write(
        folder / "solution_info_orders.txt",
        "order placement_time ready_time pickup_time dropoff_time courier",
        (
            f"{order.id} {order.minute} {order.ready_minute} {one.pickup} {at} {one.courier}"
            for one in fetched
            for order, at in zip(one.orders, one.doors, strict=True)
        ),
    )
    _write(
        folder / "solution_info_couriers.txt",
        "courier departure_time origin destination",
        (line for courier_id in world.couriers for line in _legs(world, courier_id)),
    )


def _legs(world: World, courier_id: str) -> list[str]:
    legs = world.legs(courier_id)
    lines = [f"{courier_id} {leg.departure} {leg.origin} {leg.destination}" for leg in legs]
    return [*lines, ""] if lines else []


def _write(path: Path, head: str, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in [head, *lines]))
