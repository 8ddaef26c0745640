"""Every type of event, as it is really emitted: readable by the public SDK, and as its schema says."""

import json
from datetime import UTC, datetime

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from fake_providers import Mood
from jsonschema import Draft202012Validator, FormatChecker
from sqlalchemy import Connection
from test_cancel_confirmed import cancel, fulfilled
from test_delivery_reports import LIFE, report, tell
from world import RANKING, World

from app.outbox import queries, sequencer
from app.outbox.model import Event, EventType, envelope
from app.outbox.queries import Selection
from app.outbox.registry import EVENTS, SCHEMA_URIS
from infra import event_documents
from sagas import pool

PARTNER = RANKING[0]
SCHEMAS = {schema["$id"]: schema for schema in event_documents.schemas().values()}


def everything_happens(world: World) -> None:
    """One order goes to its end, one is refunded, others fail, are cancelled, kept, or change partner or courier."""
    delivered = fulfilled(world)
    tell(world, *(report(delivered, what) for what in LIFE))
    world.refund(delivered, "1.000")
    cancel(world, fulfilled(world))
    kept = fulfilled(world)
    world.partners[PARTNER].behave(Mood.REFUSE, op="undo", times=1)
    cancel(world, kept)
    tell(world, report(kept, "GIVEN_BACK"))
    world.settle()
    world.accept()
    world.sql("UPDATE runs SET cancel_requested = true WHERE state = 'w'")
    world.settle()
    world.payment.behave(Mood.REFUSE, op="do", times=1)
    world.accept()
    world.settle()
    world.add_courier()
    fulfilled(world)
    world.sql("UPDATE fleet_pool SET courier_id = 'nobody'")
    pool.replan(world.ports)


def logged(connection: Connection) -> list[Event]:
    sequencer.sequence(connection)
    return queries.page(connection, Selection(), after=0, limit=1000)


@pytest.fixture
def emitted(world: World) -> list[Event]:
    everything_happens(world)
    with world.db.begin() as connection:
        found = logged(connection)
    return [*found, found[0].withheld("too large")]


def test_every_type_is_emitted_as_its_schema_says(emitted: list[Event]) -> None:
    wrong = {
        event.type: error.message
        for event in emitted
        for error in Draft202012Validator(
            SCHEMAS[SCHEMA_URIS[event.type]], format_checker=FormatChecker()
        ).iter_errors(json.loads(envelope(event))["data"])
    }

    assert wrong == {}
    of_orders = {type_ for type_ in EVENTS if not type_.startswith("webhook.")}
    assert {event.type for event in emitted} == of_orders


def test_no_event_holds_what_its_schema_does_not_tell_of(emitted: list[Event]) -> None:
    untold = {
        (event.type, name)
        for event in emitted
        for name in event.data.keys() - EVENTS[event.type].data["properties"].keys()
    }

    assert untold == set()


def test_the_public_sdk_reads_every_event(emitted: list[Event]) -> None:
    for event in emitted:
        read = JSONFormat().read(CloudEvent, envelope(event))

        assert (read.get_id(), read.get_type(), read.get_subject()) == (
            str(event.id),
            event.type,
            event.order_id,
        )
        assert (read.get_time(), read.get_dataschema()) == (event.at, SCHEMA_URIS[event.type])
        assert (read.get_extension("sequence"), read.get_extension("tenant")) == (event.sequence, "default")
        assert read.get_data() == json.loads(envelope(event))["data"]


def test_an_event_of_a_type_that_is_not_known_yet_goes_out_all_the_same() -> None:
    at = datetime.now(UTC)

    read = JSONFormat().read(CloudEvent, envelope(Event(1, 1, "default", "o", 1, "order.eaten", {}, at)))

    assert read.get_type() == "order.eaten"
    assert read.get_dataschema() is None


def test_sequences_have_no_gap_in_what_really_happened(world: World, emitted: list[Event]) -> None:
    orders: dict[str, list[int]] = {}
    for event in emitted[:-1]:
        orders.setdefault(event.order_id, []).append(event.sequence)

    assert all(sequences == [*range(1, len(sequences) + 1)] for sequences in orders.values())
    versions = dict(world.rows("SELECT id, version FROM uoop_orders"))
    assert {order: len(sequences) for order, sequences in orders.items()} == versions


def test_the_envelopes_first_members_are_those_that_the_audit_reads() -> None:
    told = json.loads(envelope(Event(1, 1, "t", "o", 1, EventType.ACCEPTED, {}, datetime.now(UTC))))

    assert list(told)[:4] == ["specversion", "id", "source", "type"]
    assert list(told).index("sequence") < list(told).index("data")
