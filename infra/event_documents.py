"""
The documents about events, written from their registry: a JSON Schema for the data of each type, and AsyncAPI 3.

    python -m infra.event_documents docs
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.outbox.model import SOURCE, SOURCE_OF_WEBHOOKS
from app.outbox.redis_stream import STREAM
from app.outbox.registry import EVENTS, schema_uri
from infra.settings import Settings

Document = dict[str, Any]

_NOTES = {"$id", "$schema", "title", "description", "x-since"}
_MEDIA_TYPE = "application/cloudevents+json"
_TEXT = {"type": "string", "minLength": 1}
_ENVELOPE: Document = {
    "type": "object",
    "description": "CloudEvents 1.0 in its JSON format.",
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {**_TEXT, "description": "The same however often the event is sent."},
        "source": {"enum": [SOURCE, SOURCE_OF_WEBHOOKS]},
        "type": {"enum": list(EVENTS)},
        "subject": {**_TEXT, "description": "The order's tracking id; the webhook's id for its own events."},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {**_TEXT, "description": "The name of the schema that the data keep."},
        "tenant": _TEXT,
        "traceparent": {
            "type": "string",
            "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$",
            "description": "W3C Trace Context: all events of an order are in one trace, that of the request which "
            "brought the order; if it named none, the trace's id is the tracking id without dashes.",
        },
        "sequence": {
            "type": "integer",
            "minimum": 0,
            "description": "Counts the order's events, without a gap.",
        },
        "data": {"type": "object"},
    },
}
_ENVELOPE["required"] = list(_ENVELOPE["properties"])


class NotAdditive(ValueError):
    """A schema was changed in a way that its readers may not bear: it needs a new version."""


def schemas() -> dict[str, Document]:
    """The schemas by their file names."""
    return {
        f"{type_}.{kind.version}.json": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": schema_uri(type_),
            "title": type_,
            "description": kind.description,
            "x-since": kind.since,
            **kind.data,
        }
        for type_, kind in EVENTS.items()
    }


def breaks(old: object, new: object, at: str = "") -> list[str]:
    """
    Where a schema promises less than it did.

    A property may be new, or promised where it was only possible; all else stays as it was, words for people apart.
    """
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [at or "/"]
    found = []
    for name in (old.keys() | new.keys()) - _NOTES:
        before, after, here = old.get(name), new.get(name), f"{at}/{name}"
        if name == "properties" and isinstance(before, dict) and isinstance(after, dict):
            for each, schema in before.items():
                found += breaks(schema, after.get(each), f"{here}/{each}")
        elif name == "required" and isinstance(after, list):
            found += [here] if set(before or ()) - set(after) else []
        else:
            found += breaks(before, after, here)
    return found


def asyncapi() -> Document:
    """The AsyncAPI 3.0 document."""
    messages = {type_: {"$ref": f"#/components/messages/{type_}"} for type_ in EVENTS}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "UOOP events",
            "version": "1",
            "description": "Every change of an order is an event: at least once to every sink, first deliveries in "
            "order per order. Consumers pass over types and members that they do not know.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _MEDIA_TYPE,
        "servers": {"redis": _server("redis"), "kafka": _server("kafka")},
        "channels": {
            "stream": {
                "address": STREAM,
                "description": "A Redis Stream in the log's order; an entry's field `event` is the message.",
                "servers": [{"$ref": "#/servers/redis"}],
                "messages": messages,
            },
            "topic": {
                "address": Settings.model_fields["kafka_topic"].default,
                "description": "A Kafka topic; the key is the tracking id. Its name is UOOP_KAFKA_TOPIC.",
                "servers": [{"$ref": "#/servers/kafka"}],
                "messages": messages,
            },
        },
        "operations": {
            f"publishTo{channel.capitalize()}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{channel}"},
                "summary": "Publish what has happened to orders.",
            }
            for channel in ("stream", "topic")
        },
        "components": {
            "messages": {type_: _message(type_) for type_ in EVENTS},
            "schemas": {"Envelope": _ENVELOPE, **{type_: dict(kind.data) for type_, kind in EVENTS.items()}},
        },
    }


def write(folder: Path) -> None:
    """
    Write all documents. A schema of an earlier version stays where it is.

    :raises NotAdditive: before anything is written
    """
    places = {folder / "events" / name: schema for name, schema in schemas().items()}
    for path, schema in places.items():
        if path.exists() and (found := breaks(json.loads(path.read_text()), schema)):
            raise NotAdditive(f"{path.name}: {', '.join(found)}")
    (folder / "events").mkdir(exist_ok=True)
    for path, document in {**places, folder / "asyncapi.json": asyncapi()}.items():
        path.write_text(written(document))


def written(document: Mapping[str, Any]) -> str:
    """The document as it stands in its file."""
    return json.dumps(document, indent=2) + "\n"


def _server(protocol: str) -> Document:
    return {
        "host": "{host}",
        "protocol": protocol,
        "variables": {"host": {"description": "As the platform is set up.", "default": "localhost"}},
    }


def _message(type_: str) -> Document:
    kind = EVENTS[type_]
    own = {
        "type": {"const": type_},
        "dataschema": {"const": schema_uri(type_)},
        "data": {"$ref": f"#/components/schemas/{type_}"},
    }
    return {
        "name": type_,
        "title": type_,
        "summary": kind.description,
        "contentType": _MEDIA_TYPE,
        "payload": {"allOf": [{"$ref": "#/components/schemas/Envelope"}, {"properties": own}]},
    }


if __name__ == "__main__":
    write(Path(sys.argv[1]))
