"""
A worker that has lost its broker stays, connects again, and says that messages may be lost.

kombu's Redis transport takes an answer like "out of memory", "read only" or "not enough replicas" for a mistake of
the caller, which ends the worker; here it is a broker that is away, to be tried again until it writes. What was
popped from a queue at that moment may be in nobody's hands.
"""

from collections.abc import Callable
from typing import Any

from celery import bootsteps
from kombu.transport import redis as transport
from redis.exceptions import RedisError, ResponseError

from sagas.backends.celery import INCARNATION_KEY


def install() -> None:
    """Take a refusing Redis for a lost connection, once per process."""
    if ResponseError not in transport.Transport.connection_errors:
        transport.Transport.connection_errors += (ResponseError,)
        transport.QoS.ack = _broken_unless_acknowledged(transport.QoS.ack)  # type: ignore[method-assign]


def _broken_unless_acknowledged(original: Callable[..., Any]) -> Any:
    """A message that cannot be acknowledged would count as in work for ever: kombu logs all but a broken pipe."""

    def ack(self: Any, delivery_tag: Any) -> None:
        try:
            original(self, delivery_tag)
        except RedisError as error:
            raise BrokenPipeError from error

    return ack


class Rejoin(bootsteps.StartStopStep):  # type: ignore[misc]
    """Begins a new incarnation of the broker with each connection after the first: the sweep sends again."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, parent: Any) -> None:
        if parent.restart_count > 0:
            parent.connection.default_channel.client.delete(INCARNATION_KEY)
