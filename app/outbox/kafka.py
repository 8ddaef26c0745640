"""
Events in a Kafka topic, by the idempotent producer, the tracking id as key.

Messages never time out in the producer: what a broker has not taken stays there in its order, and nothing newer
overtakes it. Who starts anew sends again from the account in Postgres, under the same ids.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from app.outbox.model import Event
from app.outbox.port import EventRefused, SinkAway, envelopes

PATIENCE_S = 1.5  # below the relay's lease
_NEVER_TAKEN = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
_MAX_BYTES = 1_000_000

FIXED: Mapping[str, object] = {
    "enable.idempotence": True,
    "message.timeout.ms": 0,  # for ever
    "linger.ms": 5,
    "compression.type": "lz4",
    "message.max.bytes": _MAX_BYTES,
    "queue.buffering.max.messages": 100_000,
    "reconnect.backoff.max.ms": 1_000,
    "log_level": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaTopic:
    """
    :param connection: librdkafka's settings of brokers and security
    """

    topic: str
    connection: Mapping[str, object]


class Kafka:
    """One producer per process, made with the first event."""

    name = "kafka"

    def __init__(
        self, target: KafkaTopic, *, producer: Callable[[dict[str, Any]], Producer] = Producer
    ) -> None:
        self._target, self._make = target, producer
        self._producer: Producer | None = None
        self._handed_over: set[int] = (
            set()
        )  # positions that the producer has got, perhaps not yet the brokers
        self._failed: dict[int, KafkaError] = {}

    def position(self) -> None:
        """It keeps no account of its own."""

    def publish(self, events: Sequence[Event]) -> None:
        written = envelopes(events)
        self._drain()  # what is left of an earlier call goes first, and need not be sent twice
        taken = self._handed_over - self._failed.keys()
        self._handed_over, self._failed = set(), {}
        for event, body in zip(events, written, strict=True):
            if event.pos not in taken:
                self._produce(event, body)
        self._drain()
        self._handed_over = set()
        if self._failed:
            pos, error = min(self._failed.items())
            if error.code() in _NEVER_TAKEN:
                raise EventRefused(next(e for e in events if e.pos == pos), reason=error.str())
            raise SinkAway(reason=error.str())

    publish_again = publish  # consumers know an event by its id, wherever it stands

    def _produce(self, event: Event, body: bytes) -> None:
        producer = self._producer or self._new()
        try:
            producer.produce(
                self._target.topic,
                body,
                key=event.order_id.encode(),
                headers={"content-type": "application/cloudevents+json"},
                on_delivery=lambda error, _: self._failed.update({event.pos: error} if error else {}),
            )
            self._handed_over.add(event.pos)
        except BufferError as error:
            raise SinkAway(reason="the producer's queue is full") from error
        except KafkaException as error:
            if error.args[0].code() in _NEVER_TAKEN:
                raise EventRefused(event, reason=error.args[0].str()) from error
            raise SinkAway(reason=str(error)) from error

    def _drain(self) -> None:
        if self._producer and self._producer.flush(PATIENCE_S):
            raise SinkAway(reason="the brokers do not answer")

    def _new(self) -> Producer:
        self._producer = self._make({**FIXED, **self._target.connection, "error_cb": self.on_error})
        return self._producer

    def on_error(self, error: KafkaError) -> None:
        if error.fatal():  # it takes nothing any more; the next call makes another, and sends all again
            self._producer, self._handed_over = None, set()
