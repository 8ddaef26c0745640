"""
When a delivery partner is called: pure moves of his circuit breaker.

    closed --5 failed calls in a row within 10 s--> open --30 s--> half-open --a dispatch is answered--> closed
                                                      ^                |
                                                      +-- a call fails-+

A call is one asking of the partner for a whole cohort, answered by any of its items. Who waits in vain for seconds
for what has no effect has learned as much as by several quick failures: each full second counts as a failed call.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

FAILURES = 5
WITHIN = timedelta(seconds=10)
PROBE_AFTER = timedelta(seconds=30)
PROBE_LASTS = timedelta(seconds=10)  # after which its prober is taken for dead
PROBE_ORDERS = 3  # in one probe, at most


class BreakerState(StrEnum):
    CLOSED = "closed"  # he is called
    OPEN = "open"  # nothing new is asked of him
    HALF_OPEN = "half-open"  # one probe at a time, of a few orders


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """
    One partner's.

    :param failed_at: when calls failed, since one was answered; at most the latest five
    :param probe_at: from when on he is probed; None while he is called as usual
    :param forced: what an operator has set until `forced_until`, whatever the calls say
    """

    partner: str
    failed_at: tuple[datetime, ...] = ()
    probe_at: datetime | None = None
    probing_until: datetime | None = None
    forced: BreakerState | None = None
    forced_until: datetime | None = None

    def state(self, now: datetime) -> BreakerState:
        if self.forced and self.forced_until and now < self.forced_until:
            return self.forced
        if self.probe_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.probe_at else BreakerState.HALF_OPEN

    @property
    def is_clean(self) -> bool:
        """Whether another answered call changes nothing."""
        return not self.failed_at and self.probe_at is None

    def may_probe(self, now: datetime) -> bool:
        free = self.probing_until is None or self.probing_until <= now
        return self.state(now) is BreakerState.HALF_OPEN and free


def after_failure(breaker: Breaker, now: datetime, *, waited_s: float) -> Breaker:
    """:param waited_s: in vain, for an answer to a question that has no effect"""
    if breaker.probe_at is not None:
        if now < breaker.probe_at:
            return breaker
        return replace(breaker, probe_at=now + PROBE_AFTER, probing_until=None)
    counted = max(1, int(waited_s))
    failed_at = (*breaker.failed_at, *(now for _ in range(counted)))[-FAILURES:]
    if len(failed_at) == FAILURES and failed_at[-1] - failed_at[0] <= WITHIN:
        return replace(breaker, failed_at=(), probe_at=now + PROBE_AFTER, probing_until=None)
    return replace(breaker, failed_at=failed_at)


def after_answer(breaker: Breaker, now: datetime, *, dispatched: bool) -> Breaker:
    """
    :param dispatched: he was asked to deliver: that he can be found alive is not enough to ask him for more
    """
    if breaker.probe_at is None:
        return replace(breaker, failed_at=())
    if dispatched and now >= breaker.probe_at:
        return replace(breaker, failed_at=(), probe_at=None, probing_until=None)
    return breaker
