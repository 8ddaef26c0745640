"""All processes together keep a rate, with few questions to Redis, and each its share without it."""

import itertools
import random
from collections.abc import Callable

import pytest
import redis

from app.limits.bucket import Bucket, size
from app.limits.service import Limit, Limiter


class SharedBuckets:
    """Redis as the limiter uses it, on a clock that the test moves."""

    def __init__(self) -> None:
        self.now, self.asked, self.away = 0.0, 0, False
        self.buckets: dict[str, Bucket] = {}
        self.waiting: list[Callable[[], list[str]]] = []

    def pipeline(self, transaction: bool) -> "SharedBuckets":
        assert not transaction
        self.waiting = []
        return self

    def eval(self, _: str, __: int, key: str, rate: int, size: float, want: int, on_credit: int) -> None:
        def ask() -> list[str]:
            bucket = self.buckets.setdefault(key, Bucket(rate, size, self.now))
            given, level = bucket.take(want, on_credit=bool(on_credit), now=self.now)
            return [str(given), str(level)]

        self.waiting.append(ask)

    def execute(self) -> list[list[str]]:
        self.asked += 1
        if self.away:
            raise redis.ConnectionError("away")
        return [ask() for ask in self.waiting]

    def limiter(self, share: float = 0.25) -> Limiter:
        return Limiter(self, share, clock=lambda: self.now)  # type: ignore[arg-type]


@pytest.fixture
def shared() -> SharedBuckets:
    return SharedBuckets()


def key(rate: int, subject: str = "key:a") -> Limit:
    return Limit("key", subject, rate)


def played(
    shared: SharedBuckets, limiters: list[Limiter], limit: Limit, per_s: float, for_s: int
) -> list[float]:
    """When requests were admitted, of those that came at that rate to processes chosen at random."""
    chance = random.Random(7)  # noqa: S311 - a test's
    admitted = []
    for n in range(int(per_s * for_s)):
        shared.now = n / per_s
        if chance.choice(limiters).take([limit]).retry_after_s is None:
            admitted.append(shared.now)
    return admitted


def busiest(times: list[float], window_s: float) -> int:
    return max(
        sum(1 for at in times if since <= at < since + window_s) for since in times[:: len(times) // 50 + 1]
    )


@pytest.mark.parametrize("rate", [1, 7, 100, 1000])
@pytest.mark.parametrize("overload", [1.5, 10])
def test_all_processes_together_keep_the_rate(shared: SharedBuckets, rate: int, overload: float) -> None:
    limiters = [shared.limiter() for _ in range(4)]

    admitted = played(shared, limiters, key(rate), rate * overload, 30)

    assert busiest(admitted, 10.0) <= max(11, rate * 10 * 1.1)
    assert len(admitted) >= 30 * rate * (
        0.9 if rate > 1 else 0.7
    )  # a bucket of one overflows between requests


def test_below_the_rate_nobody_is_refused(shared: SharedBuckets) -> None:
    admitted = played(shared, [shared.limiter() for _ in range(4)], key(1000), 900, 10)

    assert len(admitted) == 9000


def test_redis_is_asked_for_blocks_not_for_requests(shared: SharedBuckets) -> None:
    played(shared, [shared.limiter()], key(1000), 950, 10)

    assert shared.asked < 9500 / 25


def test_who_is_refused_does_not_ask_redis_until_there_can_be_something(shared: SharedBuckets) -> None:
    limiter = shared.limiter()
    refused = next(
        s for s in (limiter.take([key(10)]) for _ in itertools.count()) if s.retry_after_s is not None
    )
    asked = shared.asked

    again = [limiter.take([key(10)]) for _ in range(1000)]

    assert 0 < (refused.retry_after_s or 0) <= 0.1
    assert {standing.retry_after_s for standing in again} == {refused.retry_after_s}
    assert shared.asked == asked


def test_the_tightest_limit_decides(shared: SharedBuckets) -> None:
    limits = [key(1000, "key:b"), key(2, "tenant:b")]
    limiter = shared.limiter()

    told = [limiter.take(limits).retry_after_s is None for _ in range(10)]

    assert told == [True] + [False] * 9


def test_without_redis_each_process_keeps_its_share(shared: SharedBuckets) -> None:
    shared.away = True
    limiters = [shared.limiter(share=0.25) for _ in range(4)]

    admitted = played(shared, limiters, key(100), 1000, 20)

    assert busiest(admitted, 10.0) <= 1100
    assert len(admitted) >= 20 * 100 * 0.9
    assert shared.asked <= 4 * 21  # once a second and process it is tried again


def test_redis_is_used_again_when_it_is_back(shared: SharedBuckets) -> None:
    shared.away = True
    limiter = shared.limiter()
    limiter.take([key(100)])
    shared.away = False
    shared.now += 2

    limiter.take([key(100)])

    assert "limit:key:a" in shared.buckets


def test_what_is_charged_must_flow_in_before_more_is_admitted(shared: SharedBuckets) -> None:
    limiter = shared.limiter()
    limiter.charge([key(100)], 300)

    told = limiter.take([key(100)])
    shared.now += (told.retry_after_s or 0) + 0.001

    assert told.retry_after_s == pytest.approx((300 - size(100) + 1) / 100)
    assert limiter.take([key(100)]).retry_after_s is None


def test_while_something_is_owed_nothing_more_is_taken_on_credit_whoever_holds_tokens(
    shared: SharedBuckets,
) -> None:
    limiter, other = shared.limiter(), shared.limiter()
    for each in (limiter, other):
        assert each.take([key(100)]).retry_after_s is None  # each has a block of tokens now

    told = [each.charge([key(100)], 999) for each in (limiter, limiter, other)]
    shared.now += (told[-1] or 0) + 0.001

    assert told[0] is None
    assert told[1] == told[2] == pytest.approx((999 - size(100) + 10) / 100)
    assert other.charge([key(100)], 999) is None


def test_what_the_tenant_owes_is_not_charged_to_the_key(shared: SharedBuckets) -> None:
    limiter, tenant = shared.limiter(), key(1000, "tenant:b")
    limiter.charge([key(10, "key:a"), tenant], 2000)

    told = limiter.charge([key(1000, "key:b"), tenant], 999)

    assert told is not None
    assert shared.buckets["limit:key:b"].level == size(1000)


def test_a_request_that_is_given_back_costs_nothing(shared: SharedBuckets) -> None:
    limiter = shared.limiter()
    for _ in range(20):
        assert limiter.take([key(2)]).retry_after_s is None
        limiter.give_back([key(2)])
