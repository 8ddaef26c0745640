"""From commit to sink: no event lost, none out of its order's order, whoever races, dies or forgets."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import redis
from sqlalchemy import Connection, text
from sqlalchemy import Engine as Database
from together import all_at_once
from world import World

from app.outbox import relay as relays
from app.outbox import sequencer
from app.outbox.model import Event
from app.outbox.port import SinkAway
from app.outbox.redis_stream import STREAM, RedisStream
from app.outbox.relay import Relay

WRITERS, ORDERS_EACH, EVENTS_EACH = 4, 6, 5


def write(
    connection: Connection, order: str, sequence: int = 1, *, ago: str = "0 s", trace: str | None = None
) -> None:
    connection.execute(
        text(
            "INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, at, trace) VALUES "
            "('default', :order, :sequence, 'order.accepted', '{}', now() - CAST(:ago AS interval), :trace)"
        ),
        {"order": order, "sequence": sequence, "ago": ago, "trace": trace},
    )


def written(db: Database, *orders: str, ago: str = "0 s") -> None:
    """Write one event for each and put them into the log."""
    with db.begin() as connection:
        for order in orders:
            write(connection, order, ago=ago)
    sequenced(db)


def sequenced(db: Database) -> int:
    with db.begin() as connection:
        return sequencer.sequence(connection)


def log(db: Database) -> list[tuple[int, str, int]]:
    with db.begin() as connection:
        rows = connection.execute(text("SELECT pos, order_id, sequence FROM outbox_log ORDER BY pos"))
        return [(row[0], row[1], row[2]) for row in rows]


def stream(client: "redis.Redis[bytes]") -> list[tuple[int, str]]:
    """(pos, order) of the stream's entries."""
    entries: Any = client.xrange(STREAM)
    return [(int(i.split(b"-")[0]), msgspec.json.decode(entry[b"event"])["subject"]) for i, entry in entries]


def relayed(relay: Relay) -> int:
    """Relay all there is."""
    total = 0
    while moved := relay.run_once():
        total += moved
    return total


@pytest.fixture
def relay(db: Database, client: "redis.Redis[bytes]") -> Relay:
    made = Relay(db, RedisStream(client), holder="one", look_every_s=0)
    made.run_once()  # makes itself known
    return made


class FakeSink:
    """Takes events, unless it is away or has forgotten them."""

    name = "fake"

    def __init__(self) -> None:
        self.taken: list[Event] = []
        self.away = False
        self.meanwhile: Callable[[], object] = lambda: None

    def position(self) -> int | None:
        if self.away:
            raise SinkAway
        return self.taken[-1].pos if self.taken else 0

    def publish(self, events: Sequence[Event]) -> None:
        self.taken += events
        self.meanwhile()


def test_events_of_racing_writers_and_sequencers_are_all_placed_in_order(db: Database) -> None:
    finished: list[int] = []

    def writer(n: int) -> Callable[[], None]:
        def work() -> None:
            for sequence in range(1, EVENTS_EACH + 1):
                for order in range(ORDERS_EACH):
                    with db.begin() as connection:
                        write(connection, f"{n}-{order}", sequence)
            finished.append(n)

        return work

    def sequence() -> None:
        while len(finished) < WRITERS or sequenced(db):
            sequenced(db)

    all_at_once([*(writer(n) for n in range(WRITERS)), sequence, sequence])
    sequenced(db)

    placed = log(db)
    assert [pos for pos, _, _ in placed] == list(range(1, WRITERS * ORDERS_EACH * EVENTS_EACH + 1))
    by_order: dict[str, list[int]] = {}
    for _, order, sequence_number in placed:
        by_order.setdefault(order, []).append(sequence_number)
    assert set(map(tuple, by_order.values())) == {tuple(range(1, EVENTS_EACH + 1))}
    assert len(by_order) == WRITERS * ORDERS_EACH


def test_an_event_committed_late_is_placed_late(
    db: Database, relay: Relay, client: "redis.Redis[bytes]"
) -> None:
    with db.connect() as slow:
        write(slow, "slow")
        written(db, "quick")
        relayed(relay)
        slow.commit()
    sequenced(db)
    relayed(relay)

    assert stream(client) == [(1, "quick"), (2, "slow")]


def test_a_batch_is_bounded_and_leaves_the_rest(db: Database) -> None:
    with db.begin() as connection:
        for n in range(7):
            write(connection, f"order-{n}")
    moved = []
    for _ in range(3):
        with db.begin() as connection:
            moved.append(sequencer.sequence(connection, batch=3))

    assert moved == [3, 3, 1]
    assert [pos for pos, _, _ in log(db)] == list(range(1, 8))


def test_a_second_sequencer_leaves_the_first_alone(db: Database) -> None:
    with db.begin() as connection:
        write(connection, "order")
    with db.begin() as first:
        sequencer.sequence(first)
        assert sequenced(db) == 0


def test_events_reach_the_stream_once_as_cloud_events(
    db: Database, relay: Relay, client: "redis.Redis[bytes]"
) -> None:
    written(db, "a", "b")

    assert (relayed(relay), relayed(relay)) == (2, 0)
    assert stream(client) == [(1, "a"), (2, "b")]
    ((_, entry), *_) = client.xrange(STREAM)
    envelope = msgspec.json.decode(entry[b"event"])
    assert envelope["specversion"] == "1.0"
    assert {"id", "source", "type", "subject", "time", "sequence", "data"} <= envelope.keys()


def test_two_relays_never_publish_an_event_twice(db: Database, client: "redis.Redis[bytes]") -> None:
    pair = [Relay(db, RedisStream(client), holder=f"relay-{n}") for n in range(2)]
    pair[0].run_once()
    stop = threading.Event()

    def writer() -> None:
        for n in range(30):
            written(db, f"order-{n}")
        stop.set()

    def relaying(one: Relay) -> Callable[[], None]:
        def work() -> None:
            while not stop.is_set():
                one.run_once()

        return work

    all_at_once([writer, *(relaying(one) for one in pair)])
    expire(db)
    relayed(pair[1])

    assert stream(client) == [(n + 1, f"order-{n}") for n in range(30)]


def test_a_relay_that_lost_its_lease_while_publishing_keeps_no_account(db: Database) -> None:
    sink = FakeSink()
    first, second = (Relay(db, sink, holder=name) for name in ("first", "second"))
    first.run_once()
    written(db, "a", "b")

    def overtake() -> None:
        sink.meanwhile = lambda: None
        expire(db)
        second.run_once()

    sink.meanwhile = overtake

    assert first.run_once() == 0
    with db.begin() as connection:
        accounts = connection.execute(text("SELECT first_pos, last_pos FROM deliveries")).all()
    assert [tuple(row) for row in accounts] == [(1, 2)]


def expire(db: Database) -> None:
    with db.begin() as connection:
        connection.execute(text("UPDATE leases SET expires_at = now() - interval '1 s'"))


def test_a_relay_resumes_from_what_the_stream_itself_holds(
    db: Database, relay: Relay, client: "redis.Redis[bytes]"
) -> None:
    written(db, "a", "b", "c")
    relayed(relay)
    lost: Any = client.xrange(STREAM)
    client.delete(STREAM)
    client.xadd(STREAM, lost[0][1], id=lost[0][0])  # as after a restart with its last second lost
    written(db, "d")

    relayed(relay)

    assert stream(client) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


def test_a_stream_that_was_deleted_is_filled_again_under_the_same_ids(
    db: Database, relay: Relay, client: "redis.Redis[bytes]"
) -> None:
    written(db, "a", "b")
    relayed(relay)
    before = client.xrange(STREAM)
    client.delete(STREAM)
    written(db, "c")

    relayed(relay)

    assert client.xrange(STREAM)[:2] == before
    assert [pos for pos, _ in stream(client)] == [1, 2, 3]


def test_a_stream_that_was_deleted_is_filled_again_though_nothing_new_happens(
    db: Database, relay: Relay, client: "redis.Redis[bytes]"
) -> None:
    written(db, "a", "b")
    relayed(relay)
    before = client.xrange(STREAM)
    client.delete(STREAM)

    relayed(relay)

    assert client.xrange(STREAM) == before


def test_a_stream_that_is_deleted_while_events_are_on_their_way_is_filled_again(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    sink = DeletedMeanwhile(client)
    relay = Relay(db, sink, holder="one", look_every_s=0)
    relay.run_once()
    written(db, "a", "b")
    relayed(relay)
    sink.delete_next = True
    written(db, "c")

    on_its_way = relay.run_once()
    relayed(relay)

    assert (on_its_way, stream(client)) == (0, [(1, "a"), (2, "b"), (3, "c")])


class DeletedMeanwhile(RedisStream):
    """Its stream is gone once, after the relay has asked for its place and before the events come."""

    delete_next = False

    def publish(self, events: Sequence[Event]) -> None:
        if self.delete_next:
            self._client.delete(STREAM)
            self.delete_next = False
        super().publish(events)


def test_what_an_emptied_sink_never_had_is_published_however_old(
    db: Database, relay: Relay, client: "redis.Redis[bytes]"
) -> None:
    written(db, "had", ago="3 h")
    relayed(relay)
    client.delete(STREAM)
    written(db, "never had", ago="2 h")
    written(db, "young")

    relayed(relay)

    assert [order for _, order in stream(client)] == ["never had", "young"]


def test_a_stream_keeps_no_more_than_it_may_and_its_place(db: Database, client: "redis.Redis[bytes]") -> None:
    relay = Relay(db, RedisStream(client, max_entries=100), holder="one", look_every_s=0)
    relay.run_once()
    for n in range(5):
        written(db, *(f"order-{n}-{i}" for i in range(100)))
        relayed(relay)

    assert client.xlen(STREAM) <= 200  # Redis drops whole nodes of a hundred
    assert stream(client)[-1] == (500, "order-4-99")
    assert relay.run_once() == 0


def test_a_stream_without_memory_takes_all_or_nothing(
    db: Database, relay: Relay, client: "redis.Redis[bytes]"
) -> None:
    written(db, "a", "b")
    with out_of_memory(client):
        refused = relay.run_once()
    expire(db)

    assert (refused, relayed(relay)) == (0, 2)
    assert [order for _, order in stream(client)] == ["a", "b"]


@contextmanager
def out_of_memory(client: "redis.Redis[bytes]") -> Iterator[None]:
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


def test_a_sink_that_is_away_delays_no_other_and_loses_nothing(
    db: Database, relay: Relay, client: "redis.Redis[bytes]"
) -> None:
    sink = FakeSink()
    other = Relay(db, sink, holder="one")
    other.run_once()
    sink.away = True
    written(db, "a")
    away = relayed(other)
    relayed(relay)
    there = stream(client)
    sink.away = False
    written(db, "b")

    relayed(other)

    assert (away, there) == (0, [(1, "a")])
    assert [event.order_id for event in sink.taken] == ["a", "b"]


def test_a_sink_whose_events_were_dropped_by_age_goes_on_with_the_rest(db: Database, relay: Relay) -> None:
    written(db, "dropped")
    with db.begin() as connection:
        connection.execute(text("DELETE FROM outbox_log"))

    nothing_left = relay.run_once()
    written(db, "later")

    assert (nothing_left, relayed(relay)) == (0, 1)


def test_more_than_one_batch_is_relayed(db: Database, relay: Relay, client: "redis.Redis[bytes]") -> None:
    count = relays.BATCH + 10
    with db.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data) "
                "SELECT 'default', 'order-' || n, 1, 'order.accepted', '{}' FROM generate_series(1, :count) n"
            ),
            {"count": count},
        )
    sequenced(db)

    assert relayed(relay) == client.xlen(STREAM) == count


def test_each_event_is_observed_once(db: Database, client: "redis.Redis[bytes]") -> None:
    seen: list[int] = []
    relay = Relay(
        db, RedisStream(client), holder="one", observe=lambda events: seen.extend(e.pos for e in events)
    )
    relay.run_once()
    written(db, "a", "b")
    relayed(relay)
    client.delete(STREAM)
    written(db, "c")

    relayed(relay)

    assert seen == [1, 2, 3]


def test_deliveries_account_for_every_event(world: World, relay: Relay) -> None:
    world.accept(3)
    world.settle()
    sequenced(world.db)
    relayed(relay)

    ((first, last),) = world.rows("SELECT min(first_pos), max(last_pos) FROM deliveries")

    assert (first, last) == (1, world.one("SELECT pos FROM outbox_sequencer")) == (1, 6)
