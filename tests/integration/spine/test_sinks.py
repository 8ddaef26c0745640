"""What every sink does with events that it cannot take, and sinks beside each other."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
import pytest
import redis
from prometheus_client import REGISTRY, CollectorRegistry
from sqlalchemy import Engine as Database
from sqlalchemy import text
from test_outbox import STREAM, expire, relayed, stream, written

from app import partitions
from app.outbox import dead_letters, queries
from app.outbox.model import Event
from app.outbox.port import EventRefused, SinkAway
from app.outbox.queries import Selection
from app.outbox.redis_stream import RedisStream
from app.outbox.relay import TRIES, Relay
from app.outbox.side_by_side import Relays
from infra import metrics, wiring
from infra.exposition import Stores


class Picky:
    """Takes all events but those of some orders."""

    def __init__(self, name: str = "picky", *, refuses: frozenset[str] = frozenset()) -> None:
        self.name, self.refuses = name, refuses
        self.taken: list[Event] = []

    def position(self) -> int | None:
        return None

    def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.order_id in self.refuses and event.type == "order.accepted":
                raise EventRefused(event, reason="too odd")
            self.taken.append(event)

    publish_again = publish


class Silent(Picky):
    """Never answers until it is let go."""

    def __init__(self) -> None:
        super().__init__("silent")
        self.released = threading.Event()

    def publish(self, events: Sequence[Event]) -> None:
        self.released.wait(30)
        raise SinkAway


class Broken(Picky):
    """Raises what nobody has foreseen."""

    def publish(self, events: Sequence[Event]) -> None:
        raise RuntimeError("a mistake in the sink")


def test_a_refused_event_is_put_aside_after_its_tries_and_the_rest_goes_on(db: Database) -> None:
    sink = Picky(refuses=frozenset({"odd"}))
    relay = Relay(db, sink, holder="one")
    relay.run_once()
    written(db, "before", "odd", "after")

    taken = [relay.run_once() for _ in range(TRIES + 2)]

    assert taken == [1, *[0] * (TRIES - 1), 1, 1]
    # what stands before the refused one may be taken twice, under its id
    assert list(dict.fromkeys((event.order_id, event.type) for event in sink.taken)) == [
        ("before", "order.accepted"),
        ("odd", "event.withheld"),
        ("after", "order.accepted"),
    ]
    with db.begin() as connection:
        (letter,) = dead_letters.open_ones(connection, "picky", limit=10)
    assert (letter.event.order_id, letter.event.type, letter.reason) == ("odd", "order.accepted", "too odd")


def test_a_sink_that_takes_the_event_in_time_has_no_dead_letters(db: Database) -> None:
    sink = Picky(refuses=frozenset({"odd"}))
    relay = Relay(db, sink, holder="one")
    relay.run_once()
    written(db, "odd")
    for _ in range(TRIES - 1):
        relay.run_once()
    sink.refuses = frozenset()

    assert relay.run_once() == 1
    with db.begin() as connection:
        assert dead_letters.counts(connection) == {}


def test_an_event_that_cannot_be_written_down_is_put_aside(
    db: Database, client: "redis.Redis[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(db, RedisStream(client), holder="one", look_every_s=0)
    relay.run_once()
    written(db, "a", "b")

    def broken(event: Event) -> bytes:
        if event.order_id == "a" and event.type != "event.withheld":
            raise TypeError("no such thing")
        return msgspec.json.encode({"subject": event.order_id, "type": event.type})

    monkeypatch.setattr("app.outbox.port.envelope", broken)
    for _ in range(TRIES):
        relay.run_once()
    relayed(relay)

    assert stream(client) == [(1, "a"), (2, "b")]
    ((_, first), *_) = client.xrange(STREAM)
    assert msgspec.json.decode(first[b"event"])["type"] == "event.withheld"


def test_a_silent_sink_keeps_no_other_waiting(db: Database) -> None:
    silent, other = Silent(), Picky()
    relays = Relays([Relay(db, sink, holder="one") for sink in (silent, other)])
    relays.run_once()
    for name in ("a", "b", "c"):
        written(db, name)
        relays.run_once()

    try:
        assert [event.order_id for event in other.taken] == ["a", "b", "c"]
    finally:
        silent.released.set()


def test_a_sink_that_breaks_in_an_unforeseen_way_keeps_no_other_from_its_events(db: Database) -> None:
    broken, other = Broken("broken"), Picky()
    relays = Relays([Relay(db, sink, holder="one") for sink in (broken, other)])
    relays.run_once()
    for name in ("a", "b", "c"):
        written(db, name)
        relays.run_once()

    assert [event.order_id for event in other.taken] == ["a", "b", "c"]


def test_what_is_dropped_by_age_becomes_dead_letters_of_the_sinks_that_lack_it(db: Database) -> None:
    behind, ahead, sinks = Picky("behind"), Picky("ahead"), ["behind", "ahead"]
    for sink in (behind, ahead, Picky("not in use")):
        Relay(db, sink, holder="one").run_once()
    written(db, "old")
    relayed(Relay(db, ahead, holder="one"))
    with db.begin() as connection:
        today = connection.execute(text("SELECT current_date")).scalar_one()

        assert dead_letters.keep_overdue(connection, sinks, before=today) == 0
        assert dead_letters.keep_overdue(connection, sinks, before=today + timedelta(days=1)) == 1
        (letter,) = dead_letters.open_ones(connection, "behind", limit=10)
    written(db, "young")
    expire(db)
    relayed(Relay(db, behind, holder="one"))

    assert (letter.event.order_id, letter.reason) == ("old", "overdue")
    assert [event.order_id for event in behind.taken] == ["young"]


def test_a_day_of_the_log_goes_though_a_sink_has_not_had_it(db: Database) -> None:
    now, log = datetime.now(UTC), partitions.of("outbox_log")
    partitions.maintain(db, now=now - timedelta(days=9), tables=[log])
    dead = Picky("dead")
    Relay(db, dead, holder="one").run_once()
    written(db, "old", ago="9 days")
    with db.begin() as connection:
        connection.execute(text("UPDATE outbox_log SET day = day - 9"))

    wiring._maintain(db, ["dead"])

    with db.begin() as connection:
        (letter,) = dead_letters.open_ones(connection, "dead", limit=10)
        gone = connection.execute(
            text("SELECT to_regclass(:name) IS NULL"),
            {"name": f"outbox_log_{now - timedelta(days=9):%Y%m%d}"},
        ).scalar_one()
    assert (letter.event.order_id, letter.reason, gone) == ("old", "overdue", True)


def test_prometheus_is_told_how_far_a_sink_is_behind_and_how_long_events_took(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    relay = Relay(db, Picky("slow"), holder="one", observe=partial(metrics.observe_delivery, "slow"))
    relay.run_once()
    written(db, "late", ago="20 s")
    relayed(relay)
    written(db, "a", "b", ago="30 s")
    with db.begin() as connection:
        (event, *_) = queries.page(connection, Selection(), after=0, limit=1)
        dead_letters.keep(connection, "slow", event, reason="too odd")
    registry = CollectorRegistry()
    registry.register(Stores(db, client))

    def told(name: str) -> float:
        found = registry.get_sample_value(name, {"sink": "slow"})
        assert found is not None
        return found

    assert (told("uoop_sink_lag_events"), told("uoop_sink_dead_events")) == (2, 1)
    assert told("uoop_sink_oldest_seconds") >= 30
    taken = [
        REGISTRY.get_sample_value("event_delivery_seconds_bucket", {"sink": "slow", "le": le})
        for le in ("10.0", "60.0")
    ]
    assert taken == [0, 1]


def test_events_published_again_stand_behind_the_others_under_their_ids(
    db: Database, client: "redis.Redis[bytes]"
) -> None:
    sink = RedisStream(client)
    relay = Relay(db, sink, holder="one", look_every_s=0)
    relay.run_once()
    written(db, "a", "b")
    relayed(relay)
    with db.begin() as connection:
        events = [
            Event(*row)
            for row in connection.execute(
                text(
                    "SELECT pos, id, tenant_id, order_id, sequence, type, data, at FROM outbox_log ORDER BY pos"
                )
            )
        ]

    sink.publish_again(events)
    sink.publish_again(events[:1])
    written(db, "c")
    relayed(relay)

    entries = client.xrange(STREAM)
    assert [entry_id for entry_id, _ in entries] == [b"1-0", b"2-0", b"2-1", b"2-2", b"2-3", b"3-0"]
    assert [order for _, order in stream(client)] == ["a", "b", "a", "b", "a", "c"]
