"""The doorbell over Redis: one at a time stays at a door, and nobody rings for what he will see himself."""

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from app.doorbell import Bell
from tasks import names
from tasks.doorbell import RedisDoorbell

WITHIN_S = 10.0


@dataclass
class Sent:
    """A Celery app that keeps what it is given to send."""

    tasks: list[str] = field(default_factory=list)

    def send_task(self, name: str, **_: Any) -> None:
        self.tasks.append(name)

    def awaited(self, count: int) -> list[str]:
        end = time.monotonic() + WITHIN_S
        while len(self.tasks) < count and time.monotonic() < end:
            time.sleep(0.005)
        return self.tasks


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def door(client: "redis.Redis[bytes]", sent: Sent) -> RedisDoorbell:
    return RedisDoorbell(client, sent)  # type: ignore[arg-type]


def test_one_at_a_time_stays_at_a_door(door: RedisDoorbell) -> None:
    assert door.stay(Bell.CLAIM)
    assert not door.stay(Bell.CLAIM)
    assert door.stay(Bell.RELAY)

    door.leave(Bell.CLAIM)

    assert door.stay(Bell.CLAIM)


def test_who_stays_need_not_be_rung_for(door: RedisDoorbell, sent: Sent) -> None:
    door.stay(Bell.CLAIM)
    door.silence(Bell.CLAIM)

    door.ring(Bell.CLAIM)
    door.ring(Bell.RELAY)  # rung after it: what came of the first is known then

    assert sent.awaited(1) == [names.RELAY]


def test_who_has_left_is_rung_for_again(door: RedisDoorbell, sent: Sent) -> None:
    door.stay(Bell.CLAIM)
    door.silence(Bell.CLAIM)
    door.leave(Bell.CLAIM)

    door.ring(Bell.CLAIM)

    assert sent.awaited(1) == [names.CLAIM]


def test_who_dies_at_the_door_is_missed_soon(door: RedisDoorbell, client: "redis.Redis[bytes]") -> None:
    door.stay(Bell.CLAIM)
    door.silence(Bell.CLAIM)

    left_ms = [client.pttl(key) for key in client.scan_iter("uoop:doorbell:*")]

    assert len(left_ms) == 2
    assert all(0 < left <= 750 for left in left_ms)
