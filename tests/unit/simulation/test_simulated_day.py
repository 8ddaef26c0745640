"""A simulated day keeps the rules it is played by, whoever chooses the couriers, and is the same each time."""

import json
import math
import random
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from infra.cli import app
from infra.simulation import instance, solution
from infra.simulation.instance import BrokenInstance, Instance
from infra.simulation.play import play
from infra.simulation.policies import Policy

SPEED, HAND = 300, 2
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty orders of five kitchens in two hours, fourteen couriers: now and then a queue."""
    rng = random.Random(7)  # noqa: S311 - the same day each time
    path = tmp_path_factory.mktemp("day")

    def place() -> str:
        return f"{rng.randint(0, 5_000)}\t{rng.randint(0, 5_000)}"

    orders = []
    for n in range(60):
        placed = 600 + rng.randint(0, 120)
        orders.append(f"o{n}\t{place()}\t{placed}\tr{rng.randint(0, 4)}\t{placed + rng.randint(3, 30)}")
    _write(path / "orders.txt", "order\tx\ty\tplacement_time\trestaurant\tready_time", orders)
    _write(path / "restaurants.txt", "restaurant\tx\ty", [f"r{n}\t{place()}" for n in range(5)])
    couriers = [f"c{n}\t{place()}\t{590 + 10 * n}\t{800 + 10 * n}" for n in range(14)]
    _write(path / "couriers.txt", "courier\tx\ty\ton_time\toff_time", couriers)
    _write(path / "instance_parameters.txt", "\t".join("abcdefg"), [f"{SPEED}\t4\t4\t40\t90\t10\t15"])
    return path


@pytest.fixture(scope="module")
def day(folder: Path) -> Instance:
    return instance.read(folder)


def _write(path: Path, head: str, lines: list[str]) -> None:
    path.write_text("\n".join([head, *lines]) + "\n")


@pytest.mark.parametrize("prep_known", [True, False])
@pytest.mark.parametrize("policy", Policy)
def test_what_is_written_keeps_the_rules(
    day: Instance, policy: Policy, prep_known: bool, tmp_path: Path
) -> None:
    world, _ = play(day, policy, prep_known=prep_known)

    solution.write(tmp_path, world)

    placed = {order.id: order for order in day.orders}
    riders = {rider.id: rider for rider in day.riders}
    spots = {**day.kitchens}
    spots |= {o.id: instance.door(o) for o in day.orders}
    spots |= {r.id: instance.Spot(r.x, r.y) for r in day.riders}
    brought = {line[0]: line for line in _lines(tmp_path / "solution_info_orders.txt")}
    arrivals = _arrivals(tmp_path / "solution_info_couriers.txt", riders, spots)
    seen: set[str] = set()
    for assigned, pickup, courier, *orders in _lines(tmp_path / "solution_info_assignments.txt"):
        assert seen.isdisjoint(orders)
        seen.update(orders)
        (kitchen,) = {placed[id].restaurant for id in orders}
        assert max(placed[id].minute for id in orders) <= int(assigned) <= int(pickup)
        assert max(placed[id].ready_minute for id in orders) <= int(pickup) <= riders[courier].off_minute
        assert any(at + HAND <= int(pickup) for at in arrivals[courier, kitchen])
        clock, at = int(pickup), spots[kitchen]
        for id in orders:
            clock += HAND + _ride(at, spots[id]) + HAND
            at = spots[id]
            ready = placed[id].ready_minute
            assert brought[id] == [id, str(placed[id].minute), str(ready), pickup, str(clock), courier]
    assert set(brought) == seen


def _lines(path: Path) -> list[list[str]]:
    return [line.split(" ") for line in path.read_text().splitlines()[1:] if line]


def _arrivals(
    path: Path, riders: dict[str, instance.Rider], spots: dict[str, instance.Spot]
) -> dict[tuple[str, str], list[int]]:
    """Checks that each courier's legs follow one another, and tells when he is where."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    at = {id: (id, rider.on_minute) for id, rider in riders.items()}
    for courier, departure, origin, destination in _lines(path):
        place, free = at[courier]
        assert origin == place
        assert int(departure) >= free
        arrival = int(departure) + _ride(spots[origin], spots[destination])
        found[courier, destination].append(arrival)
        at[courier] = (destination, arrival)
    return found


def _ride(a: instance.Spot, b: instance.Spot) -> int:
    return math.ceil(math.hypot(a.x - b.x, a.y - b.y) / SPEED - 1e-9)


def test_planning_beats_first_come_first_served(day: Instance) -> None:
    means = {}
    for policy in Policy:
        world, _ = play(day, policy)
        waits = [
            at - order.minute
            for one in world.fetched
            for order, at in zip(one.orders, one.doors, strict=True)
        ]
        assert len(waits) == len(day.orders)
        means[policy] = sum(waits) / len(waits)

    assert means[Policy.FULL] < means[Policy.ASSIGNMENT] < means[Policy.FIFO_NEAREST]


def test_a_day_is_the_same_each_time(day: Instance) -> None:
    first, second = (play(day, Policy.FULL)[0].fetched for _ in range(2))

    assert first == second


def test_the_command_tells_and_writes(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["simulate", str(folder), "--json", "--out", str(tmp_path / "solution")])

    assert done.exit_code == 0
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["policy"], told["orders"], told["undelivered_share"]) == ("full", 60, 0.0)
    assert told["floor_mean"] < told["click_to_door_mean"]
    assert 0 < told["avoidable_removed_share"] < 1
    assert len(list((tmp_path / "solution").iterdir())) == 3


def test_the_command_draws_the_plan_and_the_day(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["simulate", str(folder), "--draw", str(tmp_path)])

    assert done.exit_code == 0
    plan, day = (ElementTree.parse(tmp_path / name).getroot() for name in ("plan.svg", "day.svg"))
    words = [text.text or "" for text in plan.iter(f"{SVG}text")]
    trips = int(words[0].split()[-2])
    assert trips > 0
    assert len(list(plan.iter(f"{SVG}polyline"))) == 2 * trips
    assert any("60 of 60 delivered" in (text.text or "") for text in day.iter(f"{SVG}text"))


def test_a_day_without_orders_is_over_at_once(folder: Path, tmp_path: Path) -> None:
    for name in ("orders.txt", "restaurants.txt", "couriers.txt", "instance_parameters.txt"):
        lines = (folder / name).read_text().splitlines()
        (tmp_path / name).write_text("\n".join(lines[:1] if name == "orders.txt" else lines))

    done = CliRunner().invoke(app, ["simulate", str(tmp_path), "--json", "--draw", str(tmp_path / "drawn")])

    assert done.exit_code == 0
    assert json.loads(done.stdout.splitlines()[-1])["click_to_door_mean"] == 0.0


@pytest.mark.parametrize("rules", ["", "300\t4\t4", "0\t4\t4\t40\t90\t10\t15"])
def test_rules_that_cannot_be_read_are_named(folder: Path, tmp_path: Path, rules: str) -> None:
    for name in ("orders.txt", "restaurants.txt", "couriers.txt"):
        (tmp_path / name).write_text((folder / name).read_text())
    (tmp_path / "instance_parameters.txt").write_text(f"head\n{rules}\n")

    with pytest.raises(BrokenInstance, match=r"instance_parameters\.txt"):
        instance.read(tmp_path)
