"""Events in Kafka: librdkafka's own mock cluster, and a real consumer group that reads along."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from sqlalchemy import Engine as Database
from sqlalchemy import text
from test_outbox import relayed, written

from app.outbox import dead_letters, kafka
from app.outbox.kafka import Kafka, KafkaTopic
from app.outbox.relay import TRIES, Relay

TOPIC = "orders"


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    """Addresses of a cluster of three, which lives as long as its client."""
    cluster = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "mock"})
    found = cluster.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in found)
    cluster.flush(1)


@pytest.fixture
def topic(brokers: str, request: pytest.FixtureRequest) -> KafkaTopic:
    """A topic of the test's own."""
    return KafkaTopic(topic=f"{TOPIC}-{request.node.name[-40:]}", connection={"bootstrap.servers": brokers})


def read(topic: KafkaTopic, count: int) -> list[dict[str, Any]]:
    """The first `count` events, as a group of one reads them."""
    consumer = Consumer(
        {**topic.connection, "group.id": f"reader of {topic.topic}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic.topic])
    events: list[dict[str, Any]] = []
    try:
        for _ in range(300):
            message = consumer.poll(0.1)
            if message is not None and not message.error():
                body = msgspec.json.decode(message.value() or b"")
                assert message.key() == body["subject"].encode()
                events.append(body)
            if len(events) >= count:
                return events
    finally:
        consumer.close()
    raise AssertionError(f"{len(events)} of {count} events came")


def test_a_group_reads_every_event_in_its_orders_order(db: Database, topic: KafkaTopic) -> None:
    relay = Relay(db, Kafka(topic), holder="one")
    relay.run_once()
    orders = [f"order-{n}" for n in range(20)]
    written(db, *orders, *orders, *orders)

    relayed(relay)

    events = read(topic, 60)
    by_order: dict[str, list[int]] = {}
    for event in events:
        by_order.setdefault(event["subject"], []).append(int(event["id"]))
    assert set(by_order) == set(orders)
    assert all(ids == sorted(ids) and len(ids) == 3 for ids in by_order.values())


def test_an_oversize_event_is_put_aside_and_its_place_is_marked(
    db: Database, topic: KafkaTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {**kafka.FIXED, "message.max.bytes": 1_000}
    monkeypatch.setattr(kafka, "FIXED", small)
    relay = Relay(db, Kafka(topic), holder="one")
    relay.run_once()
    written(db, "a", "large", "c")
    with db.begin() as connection:
        connection.execute(
            text(
                "UPDATE outbox_log SET data = json_build_object('x', repeat('x', 2000)) WHERE order_id = 'large'"
            )
        )

    for _ in range(TRIES + 2):
        relay.run_once()

    with db.begin() as connection:
        assert dead_letters.counts(connection) == {"kafka": 1}
    assert {event["subject"]: event["type"] for event in read(topic, 3)} == {
        "a": "order.accepted",
        "large": "event.withheld",
        "c": "order.accepted",
    }


class Stuck:
    """A producer whose brokers are away until they are said to be back."""

    def __init__(self, *, back: bool = False) -> None:
        self.queue: list[tuple[bytes, Any]] = []
        self.taken: list[bytes] = []
        self.back = back
        self.refuses: KafkaError | None = None

    def produce(self, _topic: str, value: bytes, **rest: Any) -> None:
        self.queue.append((value, rest["on_delivery"]))

    def flush(self, _timeout: float) -> int:
        if not self.back:
            return len(self.queue)
        for value, told in self.queue:
            refused = self.refuses and msgspec.json.decode(value)["type"] != "event.withheld"
            told(self.refuses if refused else None, None)
            if not refused:
                self.taken.append(value)
        self.queue.clear()
        return 0


def taken(producers: Sequence[Stuck]) -> list[str]:
    return [msgspec.json.decode(value)["subject"] for producer in producers for value in producer.taken]


def test_what_waited_for_the_brokers_is_sent_once_and_first(db: Database) -> None:
    made = [Stuck()]
    relay = Relay(db, stuck_sink(made), holder="one")
    relay.run_once()
    written(db, "a", "b")
    while_away = [relay.run_once(), relay.run_once()]
    written(db, "c")
    made[0].back = True

    assert while_away == [0, 0]
    assert relayed(relay) == 3
    assert taken(made) == ["a", "b", "c"]


def test_a_dead_producer_is_replaced_and_all_is_sent_again(db: Database) -> None:
    made = [Stuck(), Stuck(back=True)]
    sink = stuck_sink(made)
    relay = Relay(db, sink, holder="one")
    relay.run_once()
    written(db, "a")
    relay.run_once()
    sink.on_error(KafkaError(KafkaError._FATAL, "", fatal=True))

    relayed(relay)

    assert taken(made) == ["a"]


def test_an_event_that_the_brokers_refuse_is_put_aside(db: Database) -> None:
    made = [Stuck(back=True)]
    made[0].refuses = KafkaError(KafkaError.INVALID_RECORD)
    relay = Relay(db, stuck_sink(made), holder="one")
    relay.run_once()
    written(db, "a")

    for _ in range(TRIES):
        relay.run_once()

    with db.begin() as connection:
        assert dead_letters.counts(connection) == {"kafka": 1}


def stuck_sink(producers: Sequence[Stuck]) -> Kafka:
    """One that is given these producers, one after the other."""
    coming = iter(producers)
    made: Any = lambda _settings: next(coming)  # noqa: E731
    return Kafka(KafkaTopic(topic=TOPIC, connection={}), producer=made)
