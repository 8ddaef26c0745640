"""What imports cannot see: names on the wire, queues, columns and steps that belong together."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from app.doorbell import Bell
from app.runs.cohorts import Claimed
from app.runs.model import Direction
from infra import stack
from infra.settings import Settings
from infra.wiring import redis_client
from sagas.all import SAGAS
from sagas.backends import celery as backend
from sagas.definition import Saga, Step
from sagas.fulfill_order import FULFILL_ORDER
from tasks import doorbell, names
from tasks.base import Services, application

TASK_NAMES = {
    value for name, value in vars(names).items() if isinstance(value, str) and value.startswith("uoop.")
}
STEPS = [pytest.param(saga, step, id=f"{saga.name}:{step.name}") for saga in SAGAS for step in saga.steps]
JOURNEYS = [pytest.param(saga, way, id=f"{saga.name}:{way.name}") for saga in SAGAS for way in Direction]
CONSUMED = {queue for queue, _ in stack.WORKERS.values()}


@pytest.fixture(scope="module")
def app() -> Celery:
    made = application(no_services)
    made.loader.import_default_modules()
    return made


def no_services() -> Services:
    raise AssertionError("nothing is run here")


def order_columns() -> set[str]:
    migration = Path("app/migrations/versions/0001_spine.py").read_text()
    table = migration.split("CREATE TABLE uoop_orders (")[1].split("\n) WITH")[0]
    return {
        line.split()[0] for line in table.strip().splitlines() if line.startswith("    ") and line[4] != " "
    }


def test_every_task_name_is_registered_and_every_task_is_named(app: Celery) -> None:
    assert {name for name in app.tasks if name.startswith("uoop.")} == TASK_NAMES


def test_the_carriers_names_are_the_tasks_names() -> None:
    assert (backend.RUN_STEPS, backend.JOIN) == (names.RUN_STEPS, names.JOIN)


def test_task_names_are_plain_strings() -> None:
    assert {type(name) for name in TASK_NAMES} == {str}  # a StrEnum's member breaks Celery's signatures


def test_every_task_goes_to_a_queue_that_is_consumed(app: Celery) -> None:
    default = app.conf.task_default_queue
    routed = {name: app.conf.task_routes.get(name, {"queue": default})["queue"] for name in TASK_NAMES}
    assert set(routed.values()) <= CONSUMED


def test_claims_do_not_stand_in_the_steps_way(app: Celery) -> None:
    step_queues = {str(step.queue) for saga in SAGAS for step in saga.steps}
    looking = {app.conf.task_routes[name]["queue"] for name in TASK_NAMES - {names.RUN_STEPS, names.JOIN}}
    shared = [
        queues for queues, _ in stack.WORKERS.values() if step_queues & set(queues) and looking & set(queues)
    ]
    assert shared == []


def test_every_worker_has_its_number_of_processes_in_the_settings() -> None:
    assert {size for _, size in stack.WORKERS.values() if size} <= set(Settings.model_fields)


def test_beat_names_existing_tasks(app: Celery) -> None:
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= TASK_NAMES


def test_every_bell_wakes_an_existing_task_and_is_silent_for_a_while() -> None:
    assert doorbell._TASKS.keys() == doorbell.SILENCE_MS.keys() == set(Bell)
    assert set(doorbell._TASKS.values()) <= TASK_NAMES


def test_what_beat_looks_for_is_all_that_may_be_missed(app: Celery) -> None:
    beaten = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert beaten >= {names.SWEEP, *doorbell._TASKS.values()}


def test_nothing_on_the_wire_depends_on_a_workers_clock(app: Celery) -> None:
    timed = {option for entry in app.conf.beat_schedule.values() for option in entry.get("options", {})}
    assert not timed & {"expires", "eta", "countdown"}


@pytest.mark.parametrize(("saga", "step"), STEPS)
def test_every_steps_queue_is_consumed(saga: Saga, step: Step) -> None:
    assert str(step.queue) in CONSUMED


@pytest.mark.parametrize(("saga", "step"), STEPS)
def test_every_step_up_to_the_pivot_is_undone_or_says_why_not(saga: Saga, step: Step) -> None:
    assert (step.compensation is None) == bool(step.no_compensation)


@pytest.mark.parametrize(("saga", "step"), STEPS)
def test_a_step_reads_columns_of_the_order(saga: Saga, step: Step) -> None:
    assert set(step.reads) <= order_columns()


@pytest.mark.parametrize(("saga", "step"), STEPS)
def test_a_step_uses_earlier_stages_only(saga: Saga, step: Step) -> None:
    stage = next(n for n, one in enumerate(saga.stages) if step in one.steps)
    earlier = {one.name for stage in saga.stages[:stage] for one in stage.steps}
    assert set(step.uses) <= earlier


@pytest.mark.parametrize("saga", list(SAGAS), ids=lambda saga: saga.name)
def test_a_sagas_names_are_hyphenated_and_its_own(saga: Saga) -> None:
    found = [step.name for step in saga.steps]
    assert len(set(found)) == len(found)
    assert saga.pivot in found
    assert all(part.isalpha() and part.islower() for name in found for part in name.split("-"))


@pytest.mark.parametrize("saga", list(SAGAS), ids=lambda saga: saga.name)
def test_a_sagas_steps_fit_their_bit_sets(saga: Saga) -> None:
    assert len(saga.steps) < 31


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(("saga", "way"), JOURNEYS)
def test_a_journeys_messages_carry_each_step_once_into_a_pool_that_does_it(
    app: Celery, saga: Saga, way: Direction, size: int
) -> None:
    stages = saga.travelled(way)
    claimed = Claimed(7, 3, saga.name, saga.version, way, "front", tuple(range(len(stages))), size)

    for leg in range(len(stages)):
        messages = step_messages(app, claimed, leg)

        carried = [(stage, step) for m in messages for stage, steps in m["kwargs"]["legs"] for step in steps]
        assert carried == [(stage, step) for stage in range(leg, len(stages)) for step in stages[stage]]
        assert all(set(m["kwargs"]) == {"cohort_id", "epoch", "legs"} for m in messages)
        for message in messages:
            pools = {str(saga.steps[step].queue) for _, steps in message["kwargs"]["legs"] for step in steps}
            assert message["options"]["queue"] in pools
            assert len(pools - {names.STEPS}) <= 1 or size == 1
        assert all(m["immutable"] for m in messages)


def test_few_orders_are_carried_all_the_way_by_who_waits_for_others(app: Celery) -> None:
    assert carried_by(app, size=3) == [("partner", [step.name for step in FULFILL_ORDER.steps])]


def test_many_orders_go_through_parallel_steps_in_several_workers(app: Celery) -> None:
    assert carried_by(app, size=1000) == [
        ("steps", ["validate-order"]),
        ("steps", ["reserve-capacity"]),
        ("partner", ["authorize-payment"]),
        ("optimizer", ["plan-fulfilment"]),
        ("partner", ["place-with-restaurant", "dispatch-to-partner", "confirm-order", "capture-payment"]),
    ]


def test_what_killed_a_worker_has_a_message_for_each_step(app: Celery) -> None:
    assert [steps for _, steps in carried_by(app, size=1, lane="isolation:0")] == [
        [step.name] for step in FULFILL_ORDER.steps
    ]


def test_in_a_providers_lane_his_calls_wait_in_a_pool_of_their_own(app: Celery) -> None:
    front, provider = (
        [queue for queue, _ in carried_by(app, size=1000, lane=lane)] for lane in ("front", "provider:swift")
    )

    assert names.PARTNER in front
    assert provider == [names.PATIENT if queue == names.PARTNER else queue for queue in front]


def test_a_message_may_take_as_long_as_all_its_steps(app: Celery) -> None:
    (message,) = step_messages(app, fulfilling(size=3))

    assert message["options"]["soft_time_limit"] > sum(step.time_limit_s for step in FULFILL_ORDER.steps)
    assert message["options"]["time_limit"] > message["options"]["soft_time_limit"]


def test_a_lone_order_that_is_sent_again_has_a_message_for_each_step(app: Celery) -> None:
    again = replace(fulfilling(size=1), epoch=2)

    assert len(step_messages(app, again)) == len(FULFILL_ORDER.steps)


def fulfilling(*, size: int, lane: str = "front") -> Claimed:
    stages = tuple(range(len(FULFILL_ORDER.forward)))
    return Claimed(7, 3, FULFILL_ORDER.name, FULFILL_ORDER.version, Direction.FORWARD, lane, stages, size)


def carried_by(app: Celery, *, size: int, lane: str = "front") -> list[tuple[str, list[str]]]:
    """Queue and steps of each message."""
    return [
        (
            m["options"]["queue"],
            [FULFILL_ORDER.steps[n].name for _, steps in m["kwargs"]["legs"] for n in steps],
        )
        for m in step_messages(app, fulfilling(size=size, lane=lane))
    ]


def step_messages(app: Celery, claimed: Claimed, leg: int = 0) -> list[Any]:
    """The step messages of a journey, in order, joins left out."""
    canvas = backend.CeleryCarrier(app, redis_client("redis://127.0.0.1:1/0"), SAGAS).canvas(claimed, leg=leg)
    links = canvas.tasks if hasattr(canvas, "tasks") else [canvas]
    return [m for link in links for m in (link.tasks if hasattr(link, "tasks") else [link])]


def test_a_redis_that_is_away_is_noticed_at_once() -> None:
    assert redis_client("redis://127.0.0.1:1/0").get_retry().get_retries() <= 1


@pytest.mark.parametrize("module", ["app", "sagas", "tasks"])
def test_the_engine_is_imported_without_a_web_server(module: str) -> None:
    code = f"import {module}, sagas.engine, app.orders.accept, sys; sys.exit('flask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
