"""The bucket in Redis does what the one in Python does, and the processes that share it keep its rate together."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from structlog.testing import capture_logs

from app.limits.bucket import SCRIPT, SIZE_S, Bucket, size
from app.limits.service import AWAY_S, BLOCK_S, Limit, Limiter

RATE = 20
PROCESSES = 4
STORM = Limit("key", "key:storm", 2000)
SPAWN = multiprocessing.get_context("spawn")
BOUND_S = 60
PROCESSES = 4
STORM = Limit("key", "key:storm", 2000)


def test_both_buckets_give_the_same(client: "redis.Redis[bytes]") -> None:
    own = Bucket.full(RATE, 0.0)

    for want, on_credit in [(3, False), (20, False), (1, False), (1000, True), (1, False), (5, True)]:
        given, level = client.eval(SCRIPT, 1, "b", RATE, size(RATE), want, int(on_credit))
        client.hset("b", "at", 9e9)  # no time passes in between
        expected, left = own.take(want, on_credit=on_credit, now=0.0)
        assert (int(given), round(float(level))) == (expected, round(left))


def test_what_is_owed_is_remembered_until_it_has_flowed_in(client: "redis.Redis[bytes]") -> None:
    client.eval(SCRIPT, 1, "b", 1, size(1), 1000, 1)

    assert client.ttl("b") > 999


def test_two_processes_share_one_bucket(client: "redis.Redis[bytes]") -> None:
    limit = Limit("key", "key:a", 10)
    limiters = [Limiter(client, share=0.5), Limiter(client, share=0.5)]

    admitted = sum(limiters[n % 2].take([limit]).retry_after_s is None for n in range(40))

    assert 5 <= admitted <= 7  # half a second's worth, and what flows in while the test runs
    assert client.ttl("limit:key:a") > 0


def test_a_redis_that_is_away_is_no_reason_to_refuse() -> None:
    away = redis.Redis(port=1, socket_connect_timeout=0.1)

    assert Limiter(away, share=1.0).take([Limit("key", "key:a", 10)]).retry_after_s is None


class Met(NamedTuple):
    """What one process met, on the clock of this machine; `away` is how often it found Redis so."""

    began: float
    ended: float
    admitted: int
    refused: int
    away: int


def ask_on(url: str, n: int, start: Any, stop: Any, away: Any, told: Any) -> None:
    """A process that asks as fast as it can until it is stopped."""
    client = redis.Redis.from_url(
        url, socket_timeout=0.2, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)
    )
    limiter, answers = Limiter(client, share=1 / PROCESSES), [0, 0]
    with capture_logs() as logged:
        start.wait(BOUND_S)
        began = time.monotonic()
        while not stop.is_set():
            for _ in range(100):
                answers[limiter.take([STORM]).retry_after_s is None] += 1
            away[n] = len(logged)
        told.put(Met(began, time.monotonic(), answers[True], answers[False], len(logged)))
    client.close()


@dataclass
class Storm:
    """The processes while they ask; `away` is how often each has found Redis so until now."""

    stop: Any
    away: Any
    met: Sequence[Met] = ()


@contextmanager
def storm(url: str) -> Iterator[Storm]:
    start, stop, told = SPAWN.Barrier(PROCESSES + 1), SPAWN.Event(), SPAWN.SimpleQueue()
    running = Storm(stop, SPAWN.Array("i", PROCESSES))
    processes = [
        SPAWN.Process(target=ask_on, args=(url, n, start, stop, running.away, told), daemon=True)
        for n in range(PROCESSES)
    ]
    for each in processes:
        each.start()
    try:
        start.wait(BOUND_S)
        yield running
        stop.set()
        for each in processes:
            each.join(BOUND_S)
        running.met = [told.get() for each in processes if each.exitcode == 0]
    finally:
        for each in processes:
            each.kill()
            each.join()


def most(met: Sequence[Met]) -> float:
    """
    How many may be admitted: what was in the bucket and what flowed in while they asked, a block for each process,
    and its share of the same from each that kept the rate alone for a while.
    """
    asked_s = max(each.ended for each in met) - min(each.began for each in met)
    alone_s = sum(each.away for each in met) * (SIZE_S + AWAY_S) / PROCESSES
    return STORM.rate_per_s * (SIZE_S + asked_s + alone_s + PROCESSES * BLOCK_S)


def test_real_processes_together_keep_the_rate(own_redis_url: str) -> None:
    with storm(own_redis_url) as running:
        running.stop.wait(1.5)

    admitted = sum(each.admitted for each in running.met)
    assert len(running.met) == PROCESSES
    assert all(each.refused for each in running.met)
    assert size(STORM.rate_per_s) <= admitted <= most(running.met)


def test_real_processes_keep_the_rate_while_redis_goes_and_comes(
    own_redis_url: str, eventually: Callable[..., object]
) -> None:
    with redis.Redis.from_url(own_redis_url) as shared, storm(own_redis_url) as running:
        for nth in (1, 2):
            shared.client_pause(BOUND_S * 1000, all=False)
            eventually(lambda: min(running.away) >= nth)  # noqa: B023 - it is awaited here
            shared.client_unpause()
            back = shared.time()[0] + 1
            eventually(lambda: float(shared.hget(f"limit:{STORM.subject}", "at") or 0) > back)  # noqa: B023

    admitted = sum(each.admitted for each in running.met)
    assert len(running.met) == PROCESSES
    assert all(each.refused for each in running.met)
    assert admitted <= most(running.met)
