"""What was last told of orders, in the Redis for what is kept for moments; and the word that one has changed."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import redis.asyncio
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
for n, key in ipairs(KEYS) do
  local rank, told, for_ms = unpack(ARGV, 3 * n - 2, 3 * n)
  local held = redis.call('GETRANGE', key, 0, {_RANK_LENGTH - 1})
  if held <= rank then redis.call('SET', key, rank .. told, 'PX', for_ms) end
end
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

Order = tuple[str, str]  # tenant_id, order_id

log = structlog.get_logger()


class StatusCache:
    """One per process; a Redis that is away has nothing."""

    def __init__(self, client: "redis.Redis", on_loop: "redis.asyncio.Redis") -> None:
        """:param on_loop: the same for the event loop, on which many are looked for at a time"""
        self._client, self._on_loop = client, on_loop
        self._put: Any = client.register_script(_PUT)
        self._outdate: Any = client.register_script(_OUTDATE)
        self._away_until = 0.0

    def get(self, order: Order) -> bytes | None:
        if time.monotonic() < self._away_until:
            return _away(1)[0]
        try:
            held: Any = self._client.get(_key(order))
        except redis.RedisError as error:
            self._is_away(error)
            return _away(1)[0]
        return _told([held])[0]

    async def get_all(self, orders: Sequence[Order]) -> list[bytes | None]:
        """One answer for each, in order."""
        if time.monotonic() < self._away_until:
            return _away(len(orders))
        try:
            held: Any = await self._on_loop.mget(map(_key, orders))
        except redis.RedisError as error:
            self._is_away(error)
            return _away(len(orders))
        return _told(held)

    def put(self, entries: Sequence[tuple[Order, bytes, tuple[int, int], int]]) -> None:
        """
        Keep what is told of orders, each unless something of a higher rank is kept.

        :param entries: order, what is told, (version, time of the reading in ms), and for how many ms it is kept
        """
        if time.monotonic() < self._away_until:
            return
        try:
            self._put(
                keys=[_key(order) for order, _, _, _ in entries],
                args=[part for _, told, rank, for_ms in entries for part in (_written(rank), told, for_ms)],
            )
        except redis.RedisError as error:
            self._is_away(error)

    def outdate(self, orders: Iterable[Order]) -> None:
        """What was read of these orders before now is told no more: something was done to them that makes no event."""
        keys = [*map(_key, orders)]
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
                keys=[*map(_key, changed)],
                args=[_written((version, 0)) for version in changed.values()],
            )
            self._client.publish(
                CHANNEL, " ".join(f"{order_id}:{version}" for (_, order_id), version in changed.items())
            )
        except redis.RedisError as error:
            log.warning("changes-unannounced", error=type(error).__name__)


def _told(held: Sequence[bytes | None]) -> list[bytes | None]:
    told = [(each[_RANK_LENGTH:] or None) if each else None for each in held]
    misses = told.count(None)
    _HIT.inc(len(told) - misses)
    _MISS.inc(misses)
    return told


def _away(count: int) -> list[bytes | None]:
    _AWAY.inc(count)
    return [None] * count


def _key(order: Order) -> str:
    tenant_id, order_id = order
    return f"uoop:order:{order_id}:{tenant_id}"


def _written(rank: tuple[int, int]) -> str:
    version, read_at_ms = rank
    return f"{version:010}{read_at_ms:015}"
