"""Events by the command line: how well they come, what was put aside, and having them heard again."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import Engine as Database
from sqlalchemy import text
from test_outbox import STREAM, expire, relayed, stream, written

from app.outbox import dead_letters, queries
from app.outbox.queries import Selection
from app.outbox.redis_stream import RedisStream
from app.outbox.relay import Relay

Uoop = Callable[..., tuple[int, str]]


@pytest.fixture
def uoop(command: Uoop, client_url: str, monkeypatch: pytest.MonkeyPatch) -> Uoop:
    monkeypatch.setenv("UOOP_EVENTS_URL", client_url)
    return lambda *arguments: command("events", *arguments)


@pytest.fixture
def relay(db: Database, client: "redis.Redis[bytes]") -> Relay:
    """The one of the Redis Stream, which has made itself known."""
    made = Relay(db, RedisStream(client), holder="one", look_every_s=0)
    made.run_once()
    return made


def put_aside(db: Database, order: str) -> int:
    """Make a dead letter of the order's only event; its place."""
    with db.begin() as connection:
        (event,) = queries.page(connection, Selection(order_id=order), after=0, limit=2)
        dead_letters.keep(connection, "redis-stream", event, reason="too odd")
    return event.pos


def told(uoop: Uoop) -> dict[str, Any]:
    """What is told of the Redis Stream."""
    (found,) = json.loads(uoop("slo", "--json")[1])
    assert isinstance(found, dict)
    return found


def test_how_well_a_sink_is_served_is_told_to_programs(db: Database, uoop: Uoop, relay: Relay) -> None:
    written(db, "quick", "quick as well")
    written(db, "late", ago="20 s")
    relayed(relay)
    put_aside(db, "late")
    written(db, "not taken yet", ago="30 s")

    found = told(uoop)

    assert {name: found[name] for name in ("sink", "delivered", "lag", "dead")} == {
        "sink": "redis-stream",
        "delivered": 3,
        "lag": 1,
        "dead": 1,
    }
    assert found["share_within_5s"] == pytest.approx(2 / 3)
    assert 0 <= found["p50_s"] < 20 <= found["p99_s"] + 1  # interpolated
    assert found["oldest_s"] >= 30
    assert set(found) == {
        *("sink", "delivered", "share_within_5s", "p50_s", "p99_s"),
        *("lag", "oldest_s", "dead", "in_settings"),
    }


def test_what_is_given_again_to_an_emptied_sink_counts_as_it_came_first(
    db: Database, client: "redis.Redis[bytes]", uoop: Uoop, relay: Relay
) -> None:
    written(db, "a", "b")
    relayed(relay)
    with db.begin() as connection:  # it was long ago
        connection.execute(text("UPDATE outbox_log SET at = at - interval '10 min'"))
        connection.execute(text("UPDATE deliveries SET delivered_at = delivered_at - interval '10 min'"))
    client.delete(STREAM)
    written(db, "c")
    relayed(relay)

    found = told(uoop)

    assert [order for _, order in stream(client)] == ["a", "b", "c"]
    assert (found["delivered"], found["share_within_5s"], found["lag"]) == (3, 1.0, 0)


def test_nothing_delivered_is_no_share(uoop: Uoop, relay: Relay) -> None:
    found = told(uoop)

    assert (found["delivered"], found["share_within_5s"], found["p50_s"], found["p99_s"]) == (
        0,
        None,
        None,
        None,
    )
    assert "redis-stream" in uoop("slo")[1]


def test_the_events_of_one_order_are_printed_as_they_are_sent(
    db: Database, client: "redis.Redis[bytes]", uoop: Uoop, relay: Relay
) -> None:
    written(db, "a", "b", "a")
    relayed(relay)

    code, lines = uoop("tail", "--order", "a", "--no-follow")

    sent = [fields[b"event"].decode() for _, fields in client.xrange(STREAM)]
    assert (code, lines.splitlines()) == (0, [sent[0], sent[2]])


def test_the_latest_events_are_printed(db: Database, uoop: Uoop) -> None:
    written(db, "a", "b", "c")

    lines = uoop("tail", "--last", "2", "--no-follow")[1].splitlines()

    assert [json.loads(line)["subject"] for line in lines] == ["b", "c"]
    assert uoop("tail", "--type", "order.failed", "--no-follow")[1] == ""


def test_what_was_put_aside_is_listed_and_delivered_by_hand(
    db: Database, client: "redis.Redis[bytes]", uoop: Uoop, relay: Relay
) -> None:
    written(db, "a", "odd", "odd too")
    relayed(relay)
    put_aside(db, "odd")
    place = put_aside(db, "odd too")

    listed = json.loads(uoop("dead", "--json")[1])
    one = uoop("redrive", "--sink", "redis-stream", "--at", str(place))
    left = json.loads(uoop("dead", "--sink", "redis-stream", "--json")[1])
    rest = uoop("redrive", "--sink", "redis-stream")

    assert [(each["sink"], each["order_id"], each["reason"]) for each in listed] == [
        ("redis-stream", "odd", "too odd"),
        ("redis-stream", "odd too", "too odd"),
    ]
    assert [each["order_id"] for each in left] == ["odd"]
    assert one == rest == (0, "1 delivered, 0 refused again\n")
    assert [order for _, order in stream(client)] == ["a", "odd", "odd too", "odd too", "odd"]
    assert json.loads(uoop("dead", "--json")[1]) == []


def test_what_a_sink_still_refuses_stays_put_aside(
    db: Database, uoop: Uoop, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(db, "odd")
    relayed(relay)
    put_aside(db, "odd")

    def unwritable(_: object) -> bytes:
        raise TypeError("no such thing")

    monkeypatch.setattr("app.outbox.port.envelope", unwritable)

    assert uoop("redrive", "--sink", "redis-stream") == (1, "0 delivered, 1 refused again\n")
    assert len(json.loads(uoop("dead", "--json")[1])) == 1


def moment(ago: timedelta) -> str:
    return (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize(
    ("wanted", "orders"),
    [
        (lambda: ("--order", "old"), ["old"]),
        (lambda: ("--type", "order.accepted"), ["older", "old", "new"]),
        (lambda: ("--since", moment(timedelta(hours=1))), ["new"]),
        (lambda: ("--until", moment(timedelta(hours=3))), ["older"]),
        (lambda: ("--since", moment(timedelta(hours=3)), "--until", moment(timedelta(hours=1))), ["old"]),
    ],
    ids=["order", "type", "since", "until", "since until"],
)
def test_events_are_published_again_by_order_type_and_time(
    db: Database,
    client: "redis.Redis[bytes]",
    uoop: Uoop,
    relay: Relay,
    wanted: Callable[[], tuple[str, ...]],
    orders: list[str],
) -> None:
    written(db, "older", ago="4 h")
    written(db, "old", ago="2 h")
    written(db, "new")
    relayed(relay)
    before = client.xrange(STREAM)

    code, _ = uoop("replay", "--sink", "redis-stream", *wanted())

    again = client.xrange(STREAM)[len(before) :]
    first = {fields[b"event"] for _, fields in before}
    assert code == 0
    assert [json.loads(fields[b"event"])["subject"] for _, fields in again] == orders
    assert {fields[b"event"] for _, fields in again} <= first
    written(db, "newest")
    expire(db)
    assert relayed(relay) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("replay", "--sink", "redis-stream"), "say which events"),
        (("replay", "--sink", "pigeons", "--order", "a"), "there is no sink pigeons"),
        (("redrive", "--sink", "pigeons"), "there is no sink pigeons"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_code_2(
    uoop: Uoop, arguments: tuple[str, ...], told: str
) -> None:
    code, said = uoop(*arguments)

    assert (code, said.count("\n")) == (2, 1)
    assert told in said
