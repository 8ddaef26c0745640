"""What imports cannot see: names on the wire, queues, columns and steps that belong together."""

import subprocess
import sys
from pathlib import Path

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
    assert (backend.RUN_STEP, backend.JOIN) == (names.RUN_STEP, names.JOIN)


def test_task_names_are_plain_strings() -> None:
    assert {type(name) for name in TASK_NAMES} == {str}  # a StrEnum's member breaks Celery's signatures


def test_every_task_goes_to_a_queue_that_is_consumed(app: Celery) -> None:
    default = app.conf.task_default_queue
    routed = {name: app.conf.task_routes.get(name, {"queue": default})["queue"] for name in TASK_NAMES}
    assert set(routed.values()) <= CONSUMED


def test_claims_do_not_stand_in_the_steps_way(app: Celery) -> None:
    step_queues = {str(step.queue) for saga in SAGAS for step in saga.steps}
    looking = {app.conf.task_routes[name]["queue"] for name in TASK_NAMES - {names.RUN_STEP, names.JOIN}}
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


@pytest.mark.parametrize(("saga", "way"), JOURNEYS)
def test_every_journey_renders_as_a_canvas(app: Celery, saga: Saga, way: Direction) -> None:
    stages = saga.travelled(way)
    claimed = Claimed(7, 3, saga.name, saga.version, way, "front", tuple(range(len(stages))))
    carrier = backend.CeleryCarrier(app, redis_client("redis://127.0.0.1:1/0"), SAGAS)

    for leg in range(len(stages)):
        messages = [*steps_of(carrier.canvas(claimed, leg=leg))]

        expected = [(stage, step) for stage in range(leg, len(stages)) for step in stages[stage]]
        assert [(m["kwargs"]["stage"], m["kwargs"]["step"]) for m in messages] == expected
        assert all(set(m["kwargs"]) == {"cohort_id", "epoch", "stage", "step"} for m in messages)
        assert [m["options"]["queue"] for m in messages] == [
            str(saga.steps[step].queue) for _, step in expected
        ]
        assert all(m["immutable"] for m in messages)


def test_in_a_providers_lane_his_calls_wait_in_a_pool_of_their_own(app: Celery) -> None:
    carrier = backend.CeleryCarrier(app, redis_client("redis://127.0.0.1:1/0"), SAGAS)
    saga = next(iter(SAGAS))
    stages = tuple(range(len(saga.forward)))

    queues = {
        lane: [
            m["options"]["queue"]
            for m in steps_of(
                carrier.canvas(Claimed(7, 3, saga.name, saga.version, Direction.FORWARD, lane, stages), leg=0)
            )
        ]
        for lane in ("front", "provider:swift")
    }

    assert names.PARTNER in queues["front"]
    assert queues["provider:swift"] == [
        names.PATIENT if queue == names.PARTNER else queue for queue in queues["front"]
    ]


def steps_of(canvas: object) -> "list[dict[str, object]]":
    """The step messages of a canvas, in order, joins left out."""
    tasks = canvas.tasks if hasattr(canvas, "tasks") else [canvas]
    found = []
    for task in tasks:
        found += list(task.tasks) if hasattr(task, "tasks") else [task]
    return found


def test_a_redis_that_is_away_is_noticed_at_once() -> None:
    assert redis_client("redis://127.0.0.1:1/0").get_retry().get_retries() <= 1


@pytest.mark.parametrize("module", ["app", "sagas", "tasks"])
def test_the_engine_is_imported_without_a_web_server(module: str) -> None:
    code = f"import {module}, sagas.engine, app.orders.accept, sys; sys.exit('flask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
