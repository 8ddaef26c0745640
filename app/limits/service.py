"""
Rate limits that all API processes keep together, without asking Redis for every request.

A process takes tokens from the shared bucket in blocks of a twentieth of a second's worth and gives them out itself;
what it has not given out after a second is void. So within 10 s all processes together admit at most 10.5 seconds'
worth and one block for each process: 107 % with four of them (one request more at rates of a few a second).

While Redis is away each process keeps its own share of the rate.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import redis
import structlog

from app import errors
from app.limits.bucket import SCRIPT, Bucket, size

BLOCK_S = 0.05
HELD_S = 1.0
AGAIN_S = 0.001
AWAY_S = 1.0
REMEMBERED = 10_000

log = structlog.get_logger()


class RateLimited(errors.Conflict):
    """Too many requests in too short a time."""

    code = "rate-limited"


@dataclass(frozen=True, slots=True)
class Limit:
    """:param name: as clients see it; :param subject: whose bucket it is"""

    name: str
    subject: str
    rate_per_s: int


@dataclass(slots=True)
class Lease:
    """What this process holds of a bucket; `level` is what was left in it when it was last asked, 0 if in debt."""

    tokens: int = 0
    until: float = 0.0
    level: int = 0
    empty_until: float = 0.0

    def is_short(self, now: float) -> bool:
        return self.tokens < 1 or self.until < now


@dataclass(frozen=True, slots=True)
class Standing:
    """:param retry_after_s: None: admitted; else after how many seconds it is worth trying again"""

    retry_after_s: float | None
    remaining: tuple[int, ...]


@dataclass(slots=True)
class Limiter:
    """
    Thread-safe.

    :param share: of every rate that this process admits by itself while Redis is away
    """

    client: "redis.Redis"
    share: float
    clock: Callable[[], float] = time.monotonic
    _leases: dict[str, Lease] = field(default_factory=dict)
    _own: dict[str, Bucket] = field(default_factory=dict)
    _away_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _filling: threading.Lock = field(default_factory=threading.Lock)

    def take_now(self, limits: Sequence[Limit]) -> Standing | None:
        """Take one of each from memory; None when the shared buckets must be asked."""
        now = self.clock()
        empty_until, is_short = 0.0, False
        with self._lock:
            leases = []
            for limit in limits:  # one plain loop: every request of every caller comes by here
                lease = self._leases.get(limit.subject) or self._lease(limit)
                empty_until = max(empty_until, lease.empty_until)
                is_short = is_short or lease.is_short(now)
                leases.append(lease)
            if empty_until > now:
                return Standing(empty_until - now, _remaining(leases))
            return None if is_short else _taken(leases, 0.0)

    def take(self, limits: Sequence[Limit]) -> Standing:
        """The same, with one round trip to Redis where memory is not enough."""
        with self._filling:  # one asks, who comes meanwhile finds what he has brought
            return self.take_now(limits) or self._fill(limits)

    def give_back(self, limits: Sequence[Limit]) -> None:
        """Undo one `take`."""
        with self._lock:
            for limit in limits:
                self._lease(limit).tokens += 1

    def charge(self, limits: Sequence[Limit], count: int) -> float | None:
        """
        Take that many more on credit: of what the request held more than one was found inside.

        What was taken so before must have flowed in: tokens that this process still holds do not pay for it.

        :returns: None if they are taken, else after how many seconds it is worth trying again
        """
        if count < 1:
            return None
        levels = [level for _, level in self._ask(limits, [0] * len(limits))]
        wait_s = max(-level / limit.rate_per_s for limit, level in zip(limits, levels, strict=True))
        if wait_s > 0:
            return max(wait_s, AGAIN_S)
        self._ask(limits, [count] * len(limits), on_credit=True)
        return None

    def _lease(self, limit: Limit) -> Lease:
        found = self._leases.get(limit.subject)
        if found is None:
            if len(self._leases) >= REMEMBERED:
                self._leases.clear()
            found = self._leases[limit.subject] = Lease()
        return found

    def _fill(self, limits: Sequence[Limit]) -> Standing:
        now = self.clock()
        with self._lock:
            short = [limit for limit in limits if self._lease(limit).is_short(now)]
        wanted = [max(1, int(limit.rate_per_s * BLOCK_S)) for limit in short]
        answers = self._ask(short, wanted)
        now = self.clock()
        with self._lock:
            for limit, (given, level) in zip(short, answers, strict=True):
                lease = self._lease(limit)
                lease.tokens, lease.until, lease.level = given, now + HELD_S, max(0, int(level))
                if given == 0:
                    lease.empty_until = now + (1 - level) / limit.rate_per_s
            leases = [self._lease(limit) for limit in limits]
            return _taken(leases, max(lease.empty_until for lease in leases) - now)

    def _ask(
        self, limits: Sequence[Limit], wanted: Sequence[int], *, on_credit: bool = False
    ) -> list[tuple[int, float]]:
        now = self.clock()
        if now >= self._away_until:
            try:
                return self._ask_redis(limits, wanted, on_credit)
            except redis.RedisError as error:
                self._away_until = now + AWAY_S
                log.warning("limits-kept-alone", error=type(error).__name__)
        with self._lock:
            return [
                self._own_bucket(limit, now).take(want, on_credit=on_credit, now=now)
                for limit, want in zip(limits, wanted, strict=True)
            ]

    def _ask_redis(
        self, limits: Sequence[Limit], wanted: Sequence[int], on_credit: bool
    ) -> list[tuple[int, float]]:
        pipe = self.client.pipeline(transaction=False)
        for limit, want in zip(limits, wanted, strict=True):
            rate = limit.rate_per_s
            pipe.eval(SCRIPT, 1, f"limit:{limit.subject}", rate, size(rate), want, int(on_credit))
        return [(int(given), float(level)) for given, level in pipe.execute()]

    def _own_bucket(self, limit: Limit, now: float) -> Bucket:
        rate = limit.rate_per_s * self.share
        found = self._own.get(limit.subject)
        if found is None or found.rate_per_s != rate:
            if len(self._own) >= REMEMBERED:
                self._own.clear()
            found = self._own[limit.subject] = Bucket.full(rate, now)
        return found


def _taken(leases: Sequence[Lease], wait_s: float) -> Standing:
    """Take one of each, unless one is empty and must be waited for, or was just used up by others."""
    if wait_s > 0 or min([lease.tokens for lease in leases]) < 1:
        return Standing(max(wait_s, AGAIN_S), _remaining(leases))
    for lease in leases:
        lease.tokens -= 1
    return Standing(None, _remaining(leases))


def _remaining(leases: Sequence[Lease]) -> tuple[int, ...]:
    return tuple([lease.tokens + lease.level for lease in leases])
