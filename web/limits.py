"""Rate limits as HTTP tells them: RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10)."""

from dataclasses import dataclass
from functools import lru_cache

from app.limits.service import Limit, Limiter, RateLimited
from web.services import Principal

Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What every caller may ask.

    :param key_rate_per_s: requests a second of a key that has no rate of its own
    :param tenant_rate_per_s: the same for all keys of a tenant together
    """

    limiter: Limiter
    key_rate_per_s: int
    tenant_rate_per_s: int

    def take_now(self, caller: Principal) -> Fields | None:
        """
        Admit a request, from memory alone; None when `take` must be asked.

        :returns: the header fields of its answer
        :raises RateLimited: when it is one too many
        """
        limits = self.of(caller)
        standing = self.limiter.take_now(limits)
        return None if standing is None else _admitted(limits, standing.retry_after_s, standing.remaining)

    def take(self, caller: Principal) -> Fields:
        """The same, asking Redis where memory is not enough."""
        limits = self.of(caller)
        standing = self.limiter.take(limits)
        return _admitted(limits, standing.retry_after_s, standing.remaining)

    def give_back(self, caller: Principal) -> None:
        """The request is counted elsewhere."""
        self.limiter.give_back(self.of(caller))

    def charge(self, caller: Principal, count: int) -> None:
        """
        Count that many more for a request that was admitted as one.

        :raises RateLimited: while what was counted so before is still owed; the answer has its header fields already
        """
        wait_s = self.limiter.charge(self.of(caller), count)
        if wait_s is not None:
            raise RateLimited(retry_after_s=wait_s)

    def of(self, caller: Principal) -> tuple[Limit, Limit]:
        return _limits(
            caller.tenant_id,
            caller.key_prefix,
            caller.rate_per_s or self.key_rate_per_s,
            caller.tenant_rate_per_s or self.tenant_rate_per_s,
        )


@lru_cache(maxsize=10_000)
def _limits(tenant_id: str, key: str, key_rate: int, tenant_rate: int) -> tuple[Limit, Limit]:
    return Limit("key", f"key:{tenant_id}:{key}", key_rate), Limit(
        "tenant", f"tenant:{tenant_id}", tenant_rate
    )


@lru_cache(maxsize=10_000)
def _policy(key_rate: int, tenant_rate: int) -> tuple[str, str]:
    return "RateLimit-Policy", f'"key";q={key_rate};w=1, "tenant";q={tenant_rate};w=1'


def _admitted(limits: tuple[Limit, Limit], retry_after_s: float | None, remaining: tuple[int, ...]) -> Fields:
    fields = [
        ("RateLimit", f'"key";r={remaining[0]};t=1, "tenant";r={remaining[1]};t=1'),
        _policy(limits[0].rate_per_s, limits[1].rate_per_s),
    ]
    if retry_after_s is not None:
        raise RateLimited(retry_after_s=retry_after_s, fields=fields)
    return fields
