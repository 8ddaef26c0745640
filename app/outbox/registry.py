"""Every type of event: what it means and what its data hold. Schemas, documents and tests are made from this."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.orders.model import Status

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """
    One type of event.

    :param data: JSON Schema of `data`. Properties may be added; whatever else is changed is a new version
    :param since: the release that had it first
    """

    description: str
    data: Schema
    since: str = "0.1.0"
    version: int = 1


def _data(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _is(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _moved(status: Status, description: str) -> EventKind:
    data = _data(
        status=_is(status),
        partner=_PARTNER,
        reporter=_REPORTER,
        reported_at=_REPORTED_AT,
        accepted_at=_ACCEPTED_AT,
    )
    return EventKind(description=description, data=data)


_TEXT: Schema = {"type": "string"}
_CODE: Schema = {"type": "string", "description": "Why; stable, with hyphens."}
_MONEY: Schema = {"type": "string", "description": "Exact decimal in the currency's major unit."}
_CHANNEL: Schema = {"type": "string", "description": "By whom it is delivered: own fleet, partner or pickup."}
_PARTNER: Schema = {"type": ["string", "null"], "description": "Who delivers it."}
_COURIER: Schema = {"type": ["string", "null"], "description": "One of the own couriers."}
_REPORTER: Schema = {"type": "string", "description": "Who has told: partner, restaurant or operator."}
_REPORTED_AT: Schema = {"type": "string", "format": "date-time", "description": "When it was, as they tell."}
_ACCEPTED_AT: Schema = {
    "type": "string",
    "format": "date-time",
    "description": "When the order was accepted.",
}
_ETA: Schema = {"type": ["string", "null"], "format": "date-time", "description": "When it is promised."}
_STATUS = _is(*Status)
_UNDONE = {"type": "boolean", "description": "Whether all that was begun has been undone."}
_NEXT_WINDOW: Schema = {
    "type": ["object", "null"],
    "description": "The next window that had room when this order's was full, if any within four hours.",
    "properties": {
        "from": {"type": "string", "format": "date-time"},
        "until": {"type": "string", "format": "date-time"},
    },
    "required": ["from", "until"],
}
_PROMISE = {"channel": _CHANNEL, "partner": _PARTNER, "eta": _ETA, "accepted_at": _ACCEPTED_AT}

EVENTS: Mapping[str, EventKind] = {
    "order.accepted": EventKind(
        description="An order was accepted: it will be carried to its end.",
        data=_data(status=_is(Status.PENDING)),
    ),
    "order.confirmed": EventKind(
        description="Its delivery is promised: capacity is held, payment authorized, somebody delivers it.",
        data=_data(status=_is(Status.CONFIRMED), **_PROMISE),
    ),
    "order.preparing": _moved(Status.PREPARING, "The restaurant has begun with it."),
    "order.ready-for-pickup": _moved(Status.READY_FOR_PICKUP, "The meal waits for its courier."),
    "order.picked-up": _moved(Status.PICKED_UP, "The courier has the meal."),
    "order.in-transit": _moved(Status.IN_TRANSIT, "The courier is on his way to the customer."),
    "order.delivered": _moved(Status.DELIVERED, "The customer has the meal."),
    "order.rerouted": EventKind(
        description="Another partner delivers it now; its status is as before.",
        data=_data(status=_STATUS, **_PROMISE),
    ),
    "order.failed": EventKind(
        description="It could not be confirmed.",
        data=_data(
            status=_is(Status.FAILED),
            code=_CODE,
            compensated=_UNDONE,
            accepted_at=_ACCEPTED_AT,
            next_window=_NEXT_WINDOW,
        ),
    ),
    "order.cancelled": EventKind(
        description="It was cancelled, as somebody wished.",
        data=_data(
            status=_is(Status.CANCELLED),
            code=_CODE,
            compensated=_UNDONE,
            accepted_at=_ACCEPTED_AT,
            next_window=_NEXT_WINDOW,
        ),
    ),
    "order.cancellation-refused": EventKind(
        description="It was to be cancelled, and stays as it was.", data=_data(status=_STATUS, code=_CODE)
    ),
    "order.refunded": EventKind(
        description="Money was given back.",
        data=_data(status=_STATUS, amount=_MONEY, currency=_TEXT, remaining=_MONEY),
    ),
    "assignment.changed": EventKind(
        description="Another courier of the own fleet is to bring it, or the one that it has is final.",
        data=_data(
            status=_STATUS,
            courier=_COURIER,
            previous=_COURIER,
            final={"type": "boolean", "description": "Whether it changes no more."},
            expected_at={"type": "string", "format": "date-time", "description": "When he should be there."},
        ),
    ),
    "event.withheld": EventKind(
        description="Stands under the id and sequence of an event that a sink has refused.",
        data=_data(type=_TEXT, reason=_TEXT),
    ),
    "webhook.disabled": EventKind(
        description="A webhook is sent nothing any more; its subject is the webhook's id.",
        data=_data(reason=_is("gone", "failing")),
    ),
    "webhook.test": EventKind(
        description="Sent to one webhook on demand; it stands in no log.", data=_data()
    ),
}


def schema_uri(type_: str) -> str:
    """The name of the schema of a type's data, as it stands in `dataschema`."""
    return f"urn:uoop:event:{type_}:{EVENTS[type_].version}"


SCHEMA_URIS: Mapping[str, str] = {type_: schema_uri(type_) for type_ in EVENTS}
