"""Plays a day to its end."""

import time
from dataclasses import dataclass

from app.optimization.pool.model import Courier, Order, Pace, Problem, Spot
from app.optimization.pool.optimize import optimize
from infra.simulation import policies
from infra.simulation.instance import Instance
from infra.simulation.policies import Policy, Tell
from infra.simulation.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Solves:
    """
    Every plan that was made.

    :param wall_ms: by the clock, the building of the model included
    :param cpu_ms: of this process, which tells more on a busy machine
    """

    wall_ms: list[float]
    cpu_ms: list[float]
    fallbacks: int


def play(
    instance: Instance,
    policy: Policy,
    *,
    prep_known: bool = True,
    tell: Tell = lambda *_: None,
) -> tuple[World, Solves]:
    """
    Play it minute by minute; the same instance and policy give the same day.

    :param tell: called with each plan before it is acted on
    """
    _warm_up()
    world = World(instance, prep_known=prep_known)
    step = policies.of(policy, tell)
    wall, cpu, fallbacks = [], [], 0
    while not world.over:
        world.reveal()
        if world.open:
            started, burnt = time.perf_counter(), time.process_time()
            plan = step(world)
            if plan is not None:
                wall.append((time.perf_counter() - started) * 1000)
                cpu.append((time.process_time() - burnt) * 1000)
                fallbacks += plan.fallback
        world.now += 1
    return world, Solves(wall_ms=wall, cpu_ms=cpu, fallbacks=fallbacks)


def _warm_up() -> None:
    """The first solve loads the solver."""
    here = Spot(0, 0)
    order = Order(id="", kitchen="", pickup=here, door=here, placed=0, ready=0)
    courier = Courier(id="", at=here, free_at=0, off_at=1)
    optimize(Problem(now=0, orders=(order,), couriers=(courier,), pace=Pace(metres_per_min=1)))
