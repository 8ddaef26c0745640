"""The bucket in Redis does what the one in Python does."""

import redis

from app.limits.bucket import SCRIPT, Bucket, size
from app.limits.service import Limit, Limiter

RATE = 20


def test_both_buckets_give_the_same(client: "redis.Redis[bytes]") -> None:
    own = Bucket.full(RATE, 0.0)

    for want, credit in [(3, 0), (20, 0), (1, 0), (1000, 50), (1, 0)]:
        given, level = client.eval(SCRIPT, 1, "b", RATE, size(RATE), want, credit)
        client.hset("b", "at", 9e9)  # no time passes in between
        expected, left = own.take(want, credit=credit, now=0.0)
        assert (int(given), round(float(level))) == (expected, round(left))


def test_credit_has_its_bound(client: "redis.Redis[bytes]") -> None:
    own = Bucket.full(RATE, 0.0)

    given, level = client.eval(SCRIPT, 1, "b", RATE, size(RATE), 1000, 50)

    assert (int(given), float(level)) == own.take(1000, credit=50, now=0.0) == (60, -50.0)


def test_two_processes_share_one_bucket(client: "redis.Redis[bytes]") -> None:
    limit = Limit("key", "key:a", 10)
    limiters = [Limiter(client, share=0.5), Limiter(client, share=0.5)]

    admitted = sum(limiters[n % 2].take([limit]).retry_after_s is None for n in range(40))

    assert 5 <= admitted <= 7  # half a second's worth, and what flows in while the test runs
    assert client.ttl("limit:key:a") > 0


def test_a_redis_that_is_away_is_no_reason_to_refuse() -> None:
    away = redis.Redis(port=1, socket_connect_timeout=0.1)

    assert Limiter(away, share=1.0).take([Limit("key", "key:a", 10)]).retry_after_s is None
