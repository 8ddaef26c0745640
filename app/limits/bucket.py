"""
A token bucket: `rate_per_s` tokens a second flow in, half a second's worth and at least one stay in it.

So within any 10 s at most 10.5 seconds' worth leave it, and what one request took on credit. The same rule twice: as
a script in Redis, where all processes share a bucket, and in Python, for the time that Redis is away.
"""

from dataclasses import dataclass

SIZE_S = 0.5

SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local rate, size, want, on_credit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = math.min(size, (tonumber(kept[1]) or size) + math.max(0, now - (tonumber(kept[2]) or now)) * rate)
local given = math.max(0, math.min(want, math.floor(level)))
if on_credit and level >= 0 then given = want end
level = level - given
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 60 + math.ceil(math.max(0, -level) / rate))
return {given, tostring(level)}
"""


@dataclass(slots=True)
class Bucket:
    """One bucket of this process alone; times in seconds on any one clock."""

    rate_per_s: float
    level: float
    at: float

    @classmethod
    def full(cls, rate_per_s: float, now: float) -> "Bucket":
        return cls(rate_per_s, size(rate_per_s), now)

    def take(self, want: int, *, on_credit: bool, now: float) -> tuple[int, float]:
        """How many are given, and what is left; on credit it is all, unless something is owed already."""
        self.level = min(size(self.rate_per_s), self.level + max(0.0, now - self.at) * self.rate_per_s)
        self.at = now
        given = max(0, min(want, int(self.level)))
        if on_credit and self.level >= 0:
            given = want
        self.level -= given
        return given, self.level


def size(rate_per_s: float) -> float:
    return max(1.0, rate_per_s * SIZE_S)
