"""
The ledger: every slot's holds as a Redis sorted set scored by expiry, changed for a whole cohort in one call.

Every call carries the epoch that Postgres keeps. A ledger that was emptied or replaced has none or another,
and answers nothing until it is rebuilt: an empty ledger would sell every slot twice. Keys bear the epoch, so
that a rebuilt ledger never meets what an old one left behind. A release leaves a tombstone: a hold that comes
after it, from an executor that slept, is refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any

import redis

from app import errors
from app.capacity.model import Hold

EPOCH_KEY = "{uoop}:ledger:epoch"
_KEEP_AFTER_EXPIRY_S = 3600

# ARGV: epoch, now (s), then one group per order. A slot's expired holds are dropped once per call.
_HEAD = """
local epoch, now = ARGV[1], tonumber(ARGV[2])
if redis.call('GET', KEYS[1]) ~= epoch then return redis.error_reply('EPOCH') end
local out, seen = {}, {}
local prefix = '{uoop}:' .. epoch .. ':'
"""
# An order's further places come before it, as groups of four without an order.
_RESERVE = (
    _HEAD
    + """
local lasts = {}
local function put(slot, order, expiry)
    local held = prefix .. 'hold:' .. slot
    redis.call('ZADD', held, expiry, order)
    if expiry > (lasts[slot] or 0) then
        redis.call('EXPIREAT', held, expiry + KEEP)
        lasts[slot] = expiry
    end
    seen[slot] = seen[slot] + 1
end
local function look(slot, order, limit, expiry)
    local held = prefix .. 'hold:' .. slot
    if not seen[slot] then
        redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
        seen[slot] = redis.call('ZCARD', held)
    end
    if redis.call('ZSCORE', prefix .. 'gone:' .. slot, order) then return 2 end
    local until_then = redis.call('ZSCORE', held, order)
    if until_then then
        if tonumber(until_then) < expiry then
            redis.call('ZADD', held, expiry, order)
            redis.call('EXPIREAT', held, expiry + KEEP)
        end
        return 0
    end
    if seen[slot] >= limit then return 1 end
end
local more = {}
for i = 3, #ARGV, 4 do
    local slot, order, limit, expiry = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    if order == '' then more[#more + 1] = {slot, limit}
    else
        local code = look(slot, order, limit, expiry)
        local free = code and {} or {slot}
        for n = 1, #more do
            local other = look(more[n][1], order, more[n][2], expiry)
            if not other then free[#free + 1] = more[n][1]
            elseif other > (code or 0) then code = other end
        end
        if not code or code == 0 then
            for n = 1, #free do put(free[n], order, expiry) end
        end
        out[#out + 1] = code or 0
        if #more > 0 then more = {} end
    end
end
return out
"""
).replace("KEEP", str(_KEEP_AFTER_EXPIRY_S))
# Each tells, by place, whether it has changed anything.
_DROP = (
    _HEAD
    + """
for i = 3, #ARGV, 3 do
    local slot, order, expiry = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
    local gone = prefix .. 'gone:' .. slot
    out[#out + 1] = redis.call('ZREM', prefix .. 'hold:' .. slot, order)
    redis.call('ZADD', gone, expiry, order)
    redis.call('EXPIREAT', gone, expiry + KEEP)
end
return out
"""
).replace("KEEP", str(_KEEP_AFTER_EXPIRY_S))
_PUT_BACK = (
    _HEAD
    + """
for i = 3, #ARGV, 3 do
    local slot, order, expiry = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
    local held = prefix .. 'hold:' .. slot
    if redis.call('ZSCORE', prefix .. 'gone:' .. slot, order) then out[#out + 1] = 0
    else
        out[#out + 1] = redis.call('ZADD', held, 'NX', expiry, order)
        redis.call('EXPIREAT', held, expiry + KEEP)
    end
end
return out
"""
).replace("KEEP", str(_KEEP_AFTER_EXPIRY_S))
_LEAVE = (
    _HEAD
    + """
for i = 3, #ARGV, 3 do out[#out + 1] = redis.call('ZREM', prefix .. 'hold:' .. ARGV[i], ARGV[i + 1]) end
return out
"""
)
# An older rebuild that comes late leaves a newer one alone.
_OPEN = """
local opened = redis.call('GET', KEYS[1])
if opened and tonumber(opened) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""

Entry = tuple[str, str, int]  # slot, order, expiry in seconds


class LedgerLost(errors.Unavailable):
    """The capacity ledger has another epoch than the truth and must be rebuilt."""

    code = "ledger-lost"


class LedgerAway(errors.Unavailable):
    """The capacity ledger does not answer."""

    code = "ledger-away"


class Held(IntEnum):
    """What a reservation says of one order."""

    HELD = 0
    FULL = 1
    RELEASED = 2  # a tombstone stands: this order's hold was given back before


class Ledger:
    """Holds of whole cohorts; `now` and expiries are whole seconds."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._reserve = client.register_script(_RESERVE)
        self._drop = client.register_script(_DROP)
        self._put_back = client.register_script(_PUT_BACK)
        self._leave = client.register_script(_LEAVE)
        self._open = client.register_script(_OPEN)

    def reserve(self, holds: Sequence[Hold], *, epoch: int, now: datetime) -> list[Held]:
        """
        Hold a place for each order in its slot and its further ones, all or none; twice is once, and the later
        expiry stays.

        :raises LedgerLost: if the ledger is not of this epoch
        :raises LedgerAway: if Redis does not answer
        """
        return [Held(code) for code in self._call(self._reserve, _asked(holds), epoch, now)]

    def release(self, holds: Sequence[Hold], *, epoch: int, now: datetime) -> None:
        """
        Give the places back and leave tombstones; without a hold it leaves the tombstone alone.

        :raises LedgerLost: if the ledger is not of this epoch
        :raises LedgerAway: if Redis does not answer
        """
        entries = [(s, h.order_id, int(h.expires_at.timestamp())) for h in holds for s in h.slots]
        self._call(self._drop, entries, epoch, now)

    def epoch(self) -> int | None:
        """
        The epoch the ledger has, None if it was emptied.

        :raises LedgerAway: if Redis does not answer
        """
        try:
            found: Any = self._client.get(EPOCH_KEY)
        except redis.RedisError as error:
            raise LedgerAway from error
        return int(found) if found is not None else None

    def load(self, held: Sequence[Entry], gone: Sequence[Entry], *, epoch: int) -> None:
        """
        Write the holds and tombstones of a new epoch, then open it, unless a newer one is open.

        :raises LedgerAway: if Redis does not answer
        """
        try:
            for kind, entries in (("hold", held), ("gone", gone)):
                for start in range(0, len(entries), 5000):
                    self._load_some(kind, entries[start : start + 5000], epoch)
            self._open(keys=[EPOCH_KEY], args=[epoch])
        except redis.RedisError as error:
            raise LedgerAway from error

    def counts(self, *, epoch: int, now: datetime) -> dict[str, int]:
        """
        Live holds by slot.

        :raises LedgerAway: if Redis does not answer
        """
        prefix = f"{{uoop}}:{epoch}:hold:"
        try:
            keys = list(self._client.scan_iter(match=f"{prefix}*", count=1000))
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.zcount(key, f"({int(now.timestamp())}", "+inf")
            counts = pipeline.execute()
        except redis.RedisError as error:
            raise LedgerAway from error
        names = [key.decode().removeprefix(prefix) for key in keys]
        return {name: count for name, count in zip(names, counts, strict=True) if count}

    def taken(self, slots: Sequence[str], *, epoch: int, now: datetime) -> list[int]:
        """
        How many live holds each of these slots has.

        :raises LedgerAway: if Redis does not answer
        """
        pipeline = self._client.pipeline(transaction=False)
        for slot in slots:
            pipeline.zcount(f"{{uoop}}:{epoch}:hold:{slot}", f"({int(now.timestamp())}", "+inf")
        try:
            return [int(count) for count in pipeline.execute()]
        except redis.RedisError as error:
            raise LedgerAway from error

    def held(self, slots: Sequence[str], *, epoch: int, now: datetime) -> list[Entry]:
        """
        The live holds in these slots.

        :raises LedgerAway: if Redis does not answer
        """
        pipeline = self._client.pipeline(transaction=False)
        for slot in slots:
            key = f"{{uoop}}:{epoch}:hold:{slot}"
            pipeline.zrangebyscore(key, f"({int(now.timestamp())}", "+inf", withscores=True)
        try:
            found = pipeline.execute()
        except redis.RedisError as error:
            raise LedgerAway from error
        return [
            (slot, order.decode(), int(expiry))
            for slot, entries in zip(slots, found, strict=True)
            for order, expiry in entries
        ]

    def drop(self, entries: Sequence[Entry], *, epoch: int, now: datetime) -> list[bool]:
        """
        Take these holds away for good; whether each was there.

        :raises LedgerLost: if the ledger is not of this epoch
        :raises LedgerAway: if Redis does not answer
        """
        return [bool(n) for n in self._call(self._drop, entries, epoch, now)]

    def leave(self, entries: Sequence[Entry], *, epoch: int, now: datetime) -> None:
        """
        Give these places back for now: their orders may take them again.

        :raises LedgerLost: if the ledger is not of this epoch
        :raises LedgerAway: if Redis does not answer
        """
        self._call(self._leave, entries, epoch, now)

    def put_back(self, entries: Sequence[Entry], *, epoch: int, now: datetime) -> list[bool]:
        """
        Hold these whatever the limit, but none that was released; whether each was missing.

        :raises LedgerLost: if the ledger is not of this epoch
        :raises LedgerAway: if Redis does not answer
        """
        return [bool(n) for n in self._call(self._put_back, entries, epoch, now)]

    def _load_some(self, kind: str, entries: Sequence[Entry], epoch: int) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for slot, order, expiry in entries:
            key = f"{{uoop}}:{epoch}:{kind}:{slot}"
            pipeline.zadd(key, {order: expiry})
            pipeline.expireat(key, expiry + _KEEP_AFTER_EXPIRY_S)
        pipeline.execute()

    def _call(self, script: Any, groups: Iterable[tuple[str | int, ...]], epoch: int, now: datetime) -> Any:
        arguments: list[str | int] = [epoch, int(now.timestamp())]
        for group in groups:
            arguments += group
        try:
            return script(keys=[EPOCH_KEY], args=arguments)
        except redis.ResponseError as error:
            if "EPOCH" in str(error):
                raise LedgerLost from error
            raise LedgerAway from error
        except redis.RedisError as error:
            raise LedgerAway from error


def _asked(holds: Sequence[Hold]) -> Iterator[tuple[str | int, ...]]:
    for h in holds:
        expiry = int(h.expires_at.timestamp())
        for slot, limit in h.more:
            yield (slot, "", limit, expiry)
        yield (h.slot, h.order_id, h.limit, expiry)
