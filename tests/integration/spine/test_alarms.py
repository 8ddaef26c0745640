"""What is parked or paused is told aloud: in the log, once per cohort, and in the gauges that alarms look at."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import Engine as Database
from structlog.testing import capture_logs
from test_operations import BY_NAME, desk
from test_pauses import pause
from test_saga import saying, with_step
from world import World

from app.runs.model import Verdict
from app.runs.pauses import Kind
from infra import exposition
from infra.channel_gauges import Channels
from infra.exposition import HeldBack

ALERTS = Path(exposition.__file__).parent / "prometheus" / "alerts.yml"


def parked_world(db: Database, client: "redis.Redis[bytes]", count: int) -> World:
    broken = replace(BY_NAME["place-with-restaurant"], action=saying(Verdict.POISONED, None))
    world = World.made(db, client, saga=with_step(broken))
    world.accept(count)
    world.walk(world.claim_one())
    return world


def gauges(collector: HeldBack) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def test_parked_runs_are_told_once_per_cohort(db: Database, client: "redis.Redis[bytes]") -> None:
    with capture_logs() as lines:
        parked_world(db, client, 3)

    told = [line for line in lines if line["event"] == "runs-parked"]
    assert [(line["log_level"], line["runs"], line["reasons"]) for line in told] == [
        ("error", 3, {"place-with-restaurant made-up": 3})
    ]


def test_a_lone_run_with_which_processes_die_is_told(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until="validate-order")
    world.sql(
        "INSERT INTO executions (cohort_id, step, epoch, executor, starts, lease_until) "
        "SELECT id, 0, epoch, 'x', 9, now() - interval '1 s' FROM cohorts"
    )

    with capture_logs() as lines:
        world.engine.sweep()

    (told,) = [line for line in lines if line["event"] == "runs-parked"]
    assert told["reasons"] == {"validate-order crashes": 1}


def test_parked_runs_are_gauged_with_their_age_money_and_places(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    world = parked_world(db, client, 3)
    world.sql("UPDATE runs SET updated_at = now() - interval '2 h' WHERE id = (SELECT min(id) FROM runs)")

    told = gauges(HeldBack(db, desk(world)))

    place = ("fulfill-order", "place-with-restaurant", "made-up")
    assert told["uoop_parked", *place] == 3
    assert told["uoop_parked_places", *place] == 3
    assert told["uoop_parked_money", *place, "BHD", "held"] == pytest.approx(8.25)
    assert told["uoop_parked_oldest_seconds", *place] > 7000


def test_pauses_are_gauged_with_the_runs_that_wait(world: World) -> None:
    pause(world, Kind.STEP, "validate-order")
    world.accept(2)
    world.walk(world.claim_one())

    told = gauges(HeldBack(world.db, desk(world)))

    assert told["uoop_paused_runs", "step", "validate-order"] == 2
    assert told["uoop_paused_seconds", "step", "validate-order"] >= 0


def test_scraping_often_counts_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    collector = HeldBack(world.db, desk(world))
    first = gauges(collector)
    pause(world, Kind.STEP, "validate-order")

    again = gauges(collector)
    monkeypatch.setattr(exposition, "HELD_BACK_EVERY_S", 0.0)
    monkeypatch.setattr(collector, "_until", 0.0)

    assert first == again == {}
    assert gauges(collector) != {}


def test_alarms_ask_for_gauges_that_are_told(db: Database, client: "redis.Redis[bytes]") -> None:
    world = parked_world(db, client, 1)
    pause(world, Kind.STEP, "validate-order")
    registry = CollectorRegistry()
    registry.register(HeldBack(db, desk(world)))
    told = generate_latest(registry).decode()

    assert not_told("uoop-held-back", told) == []


def not_told(group_name: str, told: str) -> list[str]:
    """The gauges that a group of rules asks for in vain."""
    rules: list[dict[str, Any]] = [
        rule
        for group in yaml.safe_load(ALERTS.read_text())["groups"]
        if group["name"] == group_name
        for rule in group["rules"]
    ]
    asked = {name for rule in rules for name in re.findall("uoop_[a-z_]+", rule["expr"])}
    assert asked
    return [name for name in asked if f"\n{name}{{" not in told]


def test_breakers_and_how_partners_do_are_gauged(world: World) -> None:
    world.accept()
    world.settle()
    for _ in range(5):
        world.ports.breakers.note_failure("dhow", waited_s=0.1)
    registry = CollectorRegistry()
    registry.register(Channels(world.db))

    told = generate_latest(registry).decode()

    assert not_told("uoop-channels", told) == []
    for line in (
        'uoop_breaker_open{partner="dhow"} 1.0',
        'uoop_breaker_openings_total{partner="dhow"} 1.0',
        'uoop_partner_answered_share{partner="dhow"} 1.0',
    ):
        assert line in told
