"""The live holds of the capacity ledger, read by a script on the server."""

from collections.abc import Iterator
from typing import Any

import redis

_SLOTS_PER_CALL = 20

_READ = r"""
local out = {}
for _, key in ipairs(KEYS) do
    local slot = string.gsub(string.gsub(string.sub(key, #ARGV[1] + 1), '\\', '\\\\'), '\t', '\\t')
    local held = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #held, 2 do out[#out + 1] = slot .. '\t' .. held[i] .. '\t' .. held[i + 1] .. '\n' end
end
return table.concat(out)
"""


def live(client: "redis.Redis", *, epoch: int) -> Iterator[bytes]:
    """
    Rows of slot, order id and expiry (seconds since 1970) in that epoch of the ledger.

    :raises redis.RedisError: if Redis does not answer
    """
    read = client.register_script(_READ)
    prefix = f"{{uoop}}:{epoch}:hold:"
    found: list[Any] = sorted(set(client.scan_iter(match=f"{prefix}*", count=1000)))
    for start in range(0, len(found), _SLOTS_PER_CALL):
        answer: Any = read(keys=found[start : start + _SLOTS_PER_CALL], args=[prefix])
        yield answer
