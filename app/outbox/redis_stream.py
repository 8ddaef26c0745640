"""
Events in a Redis Stream.

An entry's id is `POS-0`. Redis refuses ids that do not rise, so that the stream holds each event once and in
order, whoever publishes, and the position of the relay is the stream's own last id.
"""

from collections.abc import Sequence
from typing import Any

import redis

from app.outbox.model import Event, envelope
from app.outbox.port import SinkAway

STREAM = "uoop:events"
MAX_ENTRIES = 1_000_000


class RedisStream:
    """The default sink."""

    name = "redis-stream"

    def __init__(self, client: redis.Redis, *, stream: str = STREAM, max_entries: int = MAX_ENTRIES) -> None:
        self._client, self._stream, self._max_entries = client, stream, max_entries

    def position(self) -> int | None:
        try:
            last: Any = self._client.xrevrange(self._stream, count=1)
        except redis.RedisError as error:
            raise SinkAway from error
        return int(last[0][0].split(b"-")[0]) if last else 0

    def publish(self, events: Sequence[Event]) -> None:
        # all or nothing: an event refused in the middle, for want of memory, could never be added after the later ones
        pipeline = self._client.pipeline(transaction=True)
        for event in events:
            pipeline.xadd(
                self._stream,
                {"event": envelope(event)},
                id=f"{event.pos}-0",
                maxlen=self._max_entries,
                approximate=True,
            )
        try:
            answers = pipeline.execute(raise_on_error=False)
        except redis.RedisError as error:
            raise SinkAway from error
        for answer in answers:
            if isinstance(answer, redis.ResponseError) and "equal or smaller" not in str(answer):
                raise SinkAway(reason=str(answer)) from answer
