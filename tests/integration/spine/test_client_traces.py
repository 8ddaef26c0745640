"""The trace that a client has told goes with his order to its end, through every event and sink."""

import json

import pytest
import redis
from test_envelopes import everything_happens, logged
from test_outbox import STREAM, relayed, sequenced
from world import World, submission

from app.outbox import dead_letters
from app.outbox.model import traceparent
from app.outbox.redis_stream import RedisStream
from app.outbox.registry import EVENTS
from app.outbox.relay import Relay

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
ANOTHER = "0af7651916cd43dd8448eb211c80319c"


def traces_told(client: "redis.Redis[bytes]") -> dict[str, str]:
    """By tracking id what the stream tells of its trace: id and flags."""
    told = [json.loads(fields[b"event"]) for _, fields in client.xrange(STREAM)]
    return {event["subject"]: event["traceparent"][3:36] + event["traceparent"][-2:] for event in told}


@pytest.mark.parametrize("flags", ["00", "01"])
def test_all_that_happens_to_an_order_is_in_the_trace_that_its_client_told(world: World, flags: str) -> None:
    world.trace = f"{ID}-{flags}"

    everything_happens(world)

    with world.db.begin() as connection:
        events = logged(connection)
    assert {event.type for event in events} == {
        type_ for type_ in EVENTS if not type_.startswith(("webhook.", "event."))
    }
    assert {traceparent(event) for event in events} == {
        f"00-{ID}-{event.id:016x}-{flags}" for event in events
    }


def test_orders_of_one_group_are_each_in_their_own_trace(world: World, client: "redis.Redis[bytes]") -> None:
    relay = Relay(world.db, RedisStream(client), holder="one")
    batch = [submission(trace=f"{ID}-01"), submission(), submission(trace=f"{ANOTHER}-00")]

    one, alone, other = world.submit(batch)

    sequenced(world.db)
    relayed(relay)
    assert traces_told(client) == {
        one: f"{ID}-01",
        alone: alone.replace("-", "") + "-01",
        other: f"{ANOTHER}-00",
    }


def test_an_order_that_is_submitted_again_stays_in_its_first_trace(world: World) -> None:
    (order,) = world.submit([submission("k", trace=f"{ID}-01")])

    assert world.submit([submission("k", trace=f"{ANOTHER}-01")]) == [order]

    assert world.rows("SELECT trace FROM uoop_orders") == [(f"{ID}-01",)]


def test_what_was_put_aside_keeps_its_trace(world: World) -> None:
    world.submit([submission(trace=f"{ID}-00")])
    with world.db.begin() as connection:
        (event,) = logged(connection)

        dead_letters.keep(connection, "kafka", event, reason="too odd")

        (letter,) = dead_letters.open_ones(connection, "kafka", limit=10)
    assert letter.event == event
    assert event.trace == f"{ID}-00"
