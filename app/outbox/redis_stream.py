"""
Events in a Redis Stream.

An entry's id is `POS-0`. Redis refuses ids that do not rise, so that the stream holds each event once and in
order, whoever publishes, and the position of the relay is the stream's own last id.
"""

from collections.abc import Sequence
from typing import Any

import redis

from app.outbox.model import Event
from app.outbox.port import SinkAway, envelopes

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
        self._add([f"{event.pos}-0" for event in events], envelopes(events))

    def publish_again(self, events: Sequence[Event]) -> None:
        """They stand behind the last entry, as its `POS-1`, `POS-2` ...: the stream's place stays what it is."""
        written = envelopes(events)
        pipeline: Any = self._client.pipeline(transaction=True)
        with pipeline:
            try:
                pipeline.watch(self._stream)
                last: Any = pipeline.xrevrange(self._stream, count=1)
                pos, nth = last[0][0].decode().split("-") if last else (events[0].pos, 0)
                ids = [f"{pos}-{int(nth) + n}" for n in range(1, len(events) + 1)]
                pipeline.multi()
                self._add(ids, written, pipeline)
            except redis.RedisError as error:  # somebody else added to it: the next attempt finds the new end
                raise SinkAway from error

    def _add(self, ids: Sequence[str], written: Sequence[bytes], pipeline: Any = None) -> None:
        # all or nothing: an event refused in the middle, for want of memory, could never be added after the later ones
        pipeline = pipeline or self._client.pipeline(transaction=True)
        for entry, event in zip(ids, written, strict=True):
            pipeline.execute_command(
                "XADD", self._stream, "MAXLEN", "~", self._max_entries, entry, "event", event
            )
        try:
            answers = pipeline.execute(raise_on_error=False)
        except redis.RedisError as error:
            raise SinkAway from error
        for answer in answers:
            if isinstance(answer, redis.ResponseError) and "equal or smaller" not in str(answer):
                raise SinkAway(reason=str(answer)) from answer
