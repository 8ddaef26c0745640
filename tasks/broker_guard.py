"""
A guard for kombu 5.7.0: a worker that holds an unacknowledged message must survive the loss of Redis.

Closing the connection restores unacknowledged messages through a channel whose connection is gone already; the
bare attribute error that follows ends the worker, where a connection error would make it reconnect.
"""

from typing import Any

import kombu
from kombu.transport import redis as transport
from redis.exceptions import ConnectionError as RedisConnectionError

AFFECTED = "5.7.0"


def install() -> None:
    """Make the affected version raise a connection error; leaves every other version alone."""
    if kombu.__version__ != AFFECTED or getattr(transport.Channel._connparams, "guarded", False):
        return
    original: Any = transport.Channel._connparams

    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the broker's connection is closed")
        return original(self, *args, **kwargs)

    guarded.guarded = True  # type: ignore[attr-defined]
    transport.Channel._connparams = guarded  # type: ignore[method-assign]
