"""What was last told of orders, in the Redis for what is kept for moments; and the word that one has changed."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import redis
import structlog
from prometheus_client import Counter

from app.outbox.model import Event

CHANNEL = "uoop:changed"
AWAY_S = 1.0  # for so long a Redis that did not answer is not asked again
MARK_MS = 60_000  # above the longest statement: what is read before the change is kept after it by nobody

READS = Counter("uoop_status_cache_reads_total", "Orders looked for in the status cache.", ["result"])
_HIT, _MISS, _AWAY = (READS.labels(result) for result in ("hit", "miss", "away"))

# An entry is its rank, a fixed number of digits, and what is told; of one that has been outrun, the rank alone.
_VERSION_LENGTH, _RANK_LENGTH = 10, 25
_PUT = f"""
local held = redis.call('GETRANGE', KEYS[1], 0, {_RANK_LENGTH - 1})
if held > ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return 1
"""
_OUTRUN = f"""
for n, key in ipairs(KEYS) do
  local held = redis.call('GETRANGE', key, 0, {_RANK_LENGTH - 1})
  if held ~= '' and held < ARGV[n] then redis.call('SET', key, ARGV[n], 'PX', {MARK_MS}) end
end
"""

_OUTDATE = f"""
for _, key in ipairs(KEYS) do
  local version = redis.call('GETRANGE', key, 0, {_VERSION_LENGTH - 1})
  if version ~= '' then redis.call('SET', key, version .. ARGV[1], 'PX', {MARK_MS}) end
end
"""

log = structlog.get_logger()


class StatusCache:
    """One per process; a Redis that is away has nothing."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._put: Any = client.register_script(_PUT)
        self._outdate: Any = client.register_script(_OUTDATE)
        self._away_until = 0.0

    def get(self, tenant_id: str, order_id: str) -> bytes | None:
        if time.monotonic() < self._away_until:
            _AWAY.inc()
            return None
        try:
            held: Any = self._client.get(_key(tenant_id, order_id))
        except redis.RedisError as error:
            self._is_away(error)
            _AWAY.inc()
            return None
        told = held[_RANK_LENGTH:] if held else None
        (_HIT if told else _MISS).inc()
        return told or None

    def put(self, tenant_id: str, order_id: str, told: bytes, *, rank: tuple[int, int], for_ms: int) -> None:
        if time.monotonic() < self._away_until:
            return
        try:
            self._put(keys=[_key(tenant_id, order_id)], args=[_written(rank), told, for_ms])
        except redis.RedisError as error:
            self._is_away(error)

    def outdate(self, orders: Iterable[tuple[str, str]]) -> None:
        """
        What was read of these orders before now is told no more: something was done to them that makes no event.

        :param orders: (tenant_id, order_id)
        """
        keys = [_key(*order) for order in orders]
        if not keys or time.monotonic() < self._away_until:
            return
        try:
            self._outdate(keys=keys, args=[f"{int(time.time() * 1000):015}"])
        except redis.RedisError as error:
            self._is_away(error)

    def _is_away(self, error: "redis.RedisError") -> None:
        self._away_until = time.monotonic() + AWAY_S
        log.warning("status-cache-away", error=type(error).__name__)


class Announcer:
    """Says which orders have changed: to the cache, and to all who listen. It may go unheard."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._outrun: Any = client.register_script(_OUTRUN)

    def announce(self, events: Sequence[Event]) -> None:
        """What is kept of these orders from before the events is told no more."""
        changed = {
            (event.tenant_id, event.order_id): event.sequence for event in events if event.sequence > 1
        }
        if not changed:
            return
        try:
            self._outrun(
                keys=[_key(*order) for order in changed],
                args=[_written((version, 0)) for version in changed.values()],
            )
            self._client.publish(
                CHANNEL, " ".join(f"{order_id}:{version}" for (_, order_id), version in changed.items())
            )
        except redis.RedisError as error:
            log.warning("changes-unannounced", error=type(error).__name__)


def _key(tenant_id: str, order_id: str) -> str:
    return f"uoop:order:{order_id}:{tenant_id}"


def _written(rank: tuple[int, int]) -> str:
    version, read_at_ms = rank
    return f"{version:010}{read_at_ms:015}"
