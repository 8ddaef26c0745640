"""Which message goes first, on a real broker and with a real worker."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine
from test_saga import with_step

from app.runs.cohorts import Claimed
from app.runs.model import EXPRESS, Direction
from infra.exposition import Stores
from sagas.backends.celery import CeleryCarrier
from sagas.definition import Priority, Registry, Saga
from sagas.fulfill_order import FULFILL_ORDER
from sagas.stretch import Legs
from tasks import names
from tasks.base import application
from tasks.priorities import kept_under

Done = list[tuple[int, int]]
VALIDATE, CONFIRM = FULFILL_ORDER.steps[0], FULFILL_ORDER.steps[FULFILL_ORDER.numbers["confirm-order"]]
CONFIRM_STAGE = next(n for n, stage in enumerate(FULFILL_ORDER.stages) if CONFIRM in stage.steps)


@pytest.fixture
def done() -> Done:
    """Cohort and step of each message, in the order in which a worker got them."""
    return []


class NotingEngine:
    """Does no step but notes that it was asked to."""

    def __init__(self, done: Done) -> None:
        self._done = done

    def run_stretch(self, cohort_id: int, _epoch: int, legs: Legs) -> bool:
        self._done += [(cohort_id, step) for _, steps in legs for step in steps]
        return True


@pytest.fixture
def app(client_url: str, client: "redis.Redis[bytes]", done: Done) -> Iterator[Celery]:
    """The application with an engine that does nothing."""
    services: Any = SimpleNamespace(engine=NotingEngine(done))
    with application(lambda: services, broker_url=client_url, result_backend=client_url) as made:
        yield made


def claimed(number: int, itinerary: tuple[int, ...], way: Direction = Direction.FORWARD) -> Claimed:
    return Claimed(number, 1, FULFILL_ORDER.name, 1, way, "front", itinerary, size=1)


def carrier(app: Celery, client: "redis.Redis[bytes]", saga: Saga = FULFILL_ORDER) -> CeleryCarrier:
    return CeleryCarrier(app, client, Registry(saga))


def work(app: Celery, done: Done, messages: int, eventually: object) -> Done:
    with start_worker(app, queues=list(_QUEUES), perform_ping_check=False, shutdown_timeout=20):
        eventually(lambda: len(done) >= messages)  # type: ignore[operator]
    return done


_QUEUES = (names.STEPS, names.PARTNER)


@pytest.mark.parametrize(
    ("first", "overtakes"),
    [(Priority.USUAL, Priority.HIGH), (Priority.LOW, Priority.USUAL), (Priority.HIGH, Priority.FIRST)],
    ids=lambda p: p.name,
)
def test_a_step_of_higher_priority_overtakes_what_waits_longer(
    app: Celery,
    client: "redis.Redis[bytes]",
    done: Done,
    eventually: object,
    first: Priority,
    overtakes: Priority,
) -> None:
    carrier(app, client, with_step(replace(VALIDATE, priority=first))).send(claimed(1, (0,)), leg=0)
    carrier(app, client, with_step(replace(VALIDATE, priority=overtakes))).send(claimed(2, (0,)), leg=0)

    assert [cohort for cohort, _ in work(app, done, 2, eventually)] == [2, 1]


def test_undoing_goes_before_doing(
    app: Celery, client: "redis.Redis[bytes]", done: Done, eventually: object
) -> None:
    place, dispatch_undo = 3, 0
    carrier(app, client).send(claimed(1, (place,)), leg=0)
    carrier(app, client).send(claimed(2, (dispatch_undo,), Direction.BACKWARD), leg=0)

    assert [cohort for cohort, _ in work(app, done, 2, eventually)] == [2, 1]


def test_the_express_lane_goes_before_the_front(
    app: Celery, client: "redis.Redis[bytes]", done: Done, eventually: object
) -> None:
    place = 3
    carrier(app, client).send(claimed(1, (place,)), leg=0)
    carrier(app, client).send(replace(claimed(2, (place,)), lane=EXPRESS), leg=0)

    assert [cohort for cohort, _ in work(app, done, 2, eventually)] == [2, 1]


def test_a_later_link_of_a_chain_has_its_own_priority(
    app: Celery, client: "redis.Redis[bytes]", done: Done, eventually: object
) -> None:
    """Cohort 1 confirms before the second one, sent right behind it, is looked at."""
    confirm = Priority(CONFIRM.priority)
    usual_then_high = with_step(replace(CONFIRM, queue=VALIDATE.queue, priority=Priority.HIGH))
    way = carrier(app, client, usual_then_high)
    for number in (1, 2, 3):
        way.send(claimed(number, (0, CONFIRM_STAGE)), leg=0)

    confirm_step = FULFILL_ORDER.numbers[CONFIRM.name]
    assert confirm is Priority.HIGH
    assert work(app, done, 6, eventually) == [(n, step) for n in (1, 2, 3) for step in (0, confirm_step)]


def test_the_depth_of_a_queue_counts_all_priorities(app: Celery, client: "redis.Redis[bytes]") -> None:
    for priority in Priority:
        saga = with_step(replace(VALIDATE, priority=priority))
        carrier(app, client, saga).send(claimed(1, (0,)), leg=0)

    registry = CollectorRegistry()
    registry.register(Stores(create_engine("postgresql+psycopg2://127.0.0.1:1/none"), client))

    assert registry.get_sample_value("uoop_queue_depth", {"queue": names.STEPS}) == len(Priority)
    assert all(client.llen(key) == 1 for key in kept_under(names.STEPS))
