"""
The Redis Stream of events, read by a script on the server.

Only an entry's place and what identifies its event leave the server, as text that COPY takes as it is:
fetching and parsing whole entries would cost some ten times as much.
"""

from collections.abc import Iterator
from typing import Any

import redis

from app.outbox.redis_stream import STREAM

_ENTRIES_PER_CALL = 2_000  # about 5 ms during which Redis serves nobody else

# An envelope's fields come in the order in which `app.outbox.model.envelope` writes them.
_READ = r"""
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
local out, last = {}, ''
for i, entry in ipairs(entries) do
    last = entry[1]
    local event = entry[2][2] or ''
    local id, kind = string.match(event, '^{"specversion":"1.0","id":"(%d+)","source":"[^"]*","type":"([%w.-]+)"')
    local _, before = string.find(event, ',"sequence":', 1, true)
    local sequence = before and string.match(event, '^%d+', before + 1)
    local pos, nth = string.match(last, '^(%d+)-(%d+)$')
    if nth == '0' then  -- the others were published again at a person's wish
        out[#out + 1] = table.concat({pos, id or '\\N', kind or '\\N', sequence or '\\N'}, '\t') .. '\n'
    end
end
return {last, table.concat(out)}
"""


def entries(client: "redis.Redis") -> Iterator[bytes]:
    """
    Rows of pos, event id, type and sequence, in the stream's order; null where an entry is not as it should be.

    :raises redis.RedisError: if Redis does not answer
    """
    read = client.register_script(_READ)
    start = "-"
    while True:
        answer: Any = read(keys=[STREAM], args=[start, _ENTRIES_PER_CALL])
        last, rows = answer
        if not last:
            return
        yield rows
        start = f"({last.decode()}"
