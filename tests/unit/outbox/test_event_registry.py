"""Types of events: one registry, the code that emits them, and the documents made from it."""

import gzip
import json
import re
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema import Draft202012Validator

from app.deliveries.model import MOVES
from app.orders.model import Status
from app.outbox.model import Event, EventType, envelope
from app.outbox.registry import EVENTS
from infra import event_documents
from infra.event_documents import NotAdditive, breaks

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
ASYNCAPI = Path(__file__).parent / "asyncapi-3.0.0.json.gz"  # of npm's @asyncapi/specs 6.11.1, Apache-2.0

# What is put together in SQL: 'order.' || the status.
BY_STATUS = {
    "app/deliveries/service.py": {status for moves in MOVES.values() for status in moves},
    "app/orders/service.py": {Status.FAILED, Status.CANCELLED},
}
_WRITTEN = re.compile(r"'([a-z]+\.[a-z-]+)'")
_TOGETHER = re.compile(r"'order\.' \|\|")


def emitting() -> dict[str, str]:
    """The modules that write events, by their paths."""
    found = {path: path.read_text() for path in (ROOT / "app").rglob("*.py")}
    return {str(path.relative_to(ROOT)): text for path, text in found.items() if "INTO outbox_in" in text}


def test_what_the_code_emits_is_what_the_registry_has() -> None:
    emitted = {type_ for text in emitting().values() for type_ in _WRITTEN.findall(text)}
    by_status = {
        f"order.{status.lower().replace('_', '-')}" for statuses in BY_STATUS.values() for status in statuses
    }

    in_no_log = {EventType.WITHHELD, EventType.WEBHOOK_TEST}
    assert emitted | by_status | in_no_log | {EventType.WEBHOOK_DISABLED} == EVENTS.keys()


def test_types_that_are_put_together_are_known_here() -> None:
    assert {path for path, text in emitting().items() if _TOGETHER.search(text)} == BY_STATUS.keys()


def test_every_type_has_a_name_in_code() -> None:
    assert set(EventType) == EVENTS.keys()


@pytest.mark.parametrize("type_", EVENTS)
def test_the_data_of_each_type_are_described_by_a_schema(type_: str) -> None:
    schema = EVENTS[type_].data

    Draft202012Validator.check_schema(dict(schema))
    assert set(schema["required"]) <= schema["properties"].keys()
    assert EVENTS[type_].description


def test_the_documents_are_up_to_date() -> None:
    kept = {name: (DOCS / "events" / name).read_text() for name in event_documents.schemas()}
    made = {name: event_documents.written(schema) for name, schema in event_documents.schemas().items()}

    assert kept == made
    assert (DOCS / "asyncapi.json").read_text() == event_documents.written(event_documents.asyncapi())


def test_what_is_documented_is_only_added_to() -> None:
    found = {
        name: breaks(json.loads((DOCS / "events" / name).read_text()), schema)
        for name, schema in event_documents.schemas().items()
    }

    assert {name: each for name, each in found.items() if each} == {}


def _of(**changes: Any) -> dict[str, Any]:
    kind: dict[str, Any] = {
        "title": "t",
        "type": "object",
        "properties": {"a": {"type": "string", "enum": ["x", "y"]}, "b": {"type": ["string", "null"]}},
        "required": ["a"],
    }
    return kind | changes


@pytest.mark.parametrize(
    ("new", "where"),
    [
        (_of(), []),
        (_of(title="other", description="more"), []),
        (_of(properties={**_of()["properties"], "c": {"type": "integer"}}), []),
        (_of(required=["a", "b"]), []),
        (_of(required=[]), ["/required"]),
        (_of(properties={"a": _of()["properties"]["a"]}), ["/properties/b"]),
        (_of(properties={**_of()["properties"], "b": {"type": "integer"}}), ["/properties/b/type"]),
        (_of(properties={**_of()["properties"], "a": {"type": "string"}}), ["/properties/a/enum"]),
        (_of(type="array"), ["/type"]),
        (_of(additionalProperties=False), ["/additionalProperties"]),
        ({key: value for key, value in _of().items() if key != "properties"}, ["/properties"]),
    ],
)
def test_only_additions_pass(new: dict[str, Any], where: list[str]) -> None:
    assert breaks(_of(), new) == where


def test_a_schema_is_not_written_over_by_one_that_breaks_it(tmp_path: Path) -> None:
    event_documents.write(tmp_path)
    path = tmp_path / "events" / "order.refunded.1.json"
    once = json.loads(path.read_text())
    once["properties"]["loyalty"] = {"type": "integer"}
    path.write_text(json.dumps(once))

    with pytest.raises(NotAdditive, match=re.escape("order.refunded.1.json: /properties/loyalty")):
        event_documents.write(tmp_path)

    assert json.loads(path.read_text()) == once


def asyncapi_validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(gzip.decompress(ASYNCAPI.read_bytes())))


def test_the_asyncapi_document_is_valid_and_its_references_lead_somewhere() -> None:
    document = event_documents.asyncapi()

    assert [error.message for error in asyncapi_validator().iter_errors(document)] == []
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place: Any = document
        for name in reference.split("/"):
            place = place[name]


def test_a_wrong_asyncapi_document_is_found() -> None:
    document = deepcopy(event_documents.asyncapi())
    document["operations"]["publishToTopic"]["action"] = "shout"

    assert not asyncapi_validator().is_valid(document)


def test_the_described_message_is_the_one_that_is_sent() -> None:
    event = Event(7, 9, "default", "o-1", 1, "order.accepted", {"status": "PENDING"}, datetime.now(UTC))
    document = event_documents.asyncapi()
    schema = document["components"]["messages"]["order.accepted"]["payload"]

    Draft202012Validator({**schema, "components": document["components"]}).validate(
        json.loads(envelope(event))
    )
