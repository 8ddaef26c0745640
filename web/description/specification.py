"""The OpenAPI 3.1 document: routes from flask-smorest, schemas from the structs that read and write."""

from typing import Any

import msgspec
from flask import Flask
from flask_smorest import Api
from werkzeug.routing import BaseConverter

from app.orders import document
from app.runs.allowed import Act
from app.runs.pauses import Kind
from web import (
    batches,
    callbacks,
    capacity,
    channels,
    deliveries,
    delivery_instructions,
    differences,
    health,
    instructions,
    pauses,
    refunds,
    representations,
    runs,
    webhook_instructions,
    webhooks,
)
from web.description import batches as described_batches
from web.description import bounds
from web.description import callbacks as described_callbacks
from web.description.operations import HEADERS, REF
from web.problems import Problem

VERSION = "1"
_DESCRIPTION = """\
Submit meal orders, get a tracking id at once, follow each order to a confirmed dispatch or its undoing.

Every error is a problem document (RFC 9457) whose `type` leads to a page about it.
Times are RFC 3339 in UTC, amounts exact decimal strings in the currency's major unit."""

_SERVER = {
    "url": "/",
    "description": "The server that tells you this, in production as in testing",
    "x-internal": False,
}


class TrackingId(BaseConverter):
    """A tracking id in a path; anything else is no such path."""

    regex = "[0-9A-Za-z_-]{1,64}"
    part_isolating = True


class ActName(BaseConverter):
    """What can be done to a run; anything else is no such path."""

    regex = "|".join(Act)
    part_isolating = True


class KindName(BaseConverter):
    """What can be paused; anything else is no such path."""

    regex = "|".join(Kind)
    part_isolating = True


class PartnerName(BaseConverter):
    """A provider's name; anything else is no such path."""

    regex = "[a-z][a-z0-9-]{0,31}"
    part_isolating = True


class DescribedApi(Api):  # type: ignore[misc] # flask-smorest ships no types
    """flask-smorest without its own form of errors."""

    DEFAULT_ERROR_RESPONSE_NAME = None


def api(app: Flask) -> Api:
    """Bind flask-smorest, which gathers the routes' descriptions, to the application."""
    app.url_map.converters["tracking"] = TrackingId
    app.url_map.converters["act"] = ActName
    app.url_map.converters["kind"] = KindName
    app.url_map.converters["partner"] = PartnerName
    app.config.update(API_TITLE="UOOP", API_VERSION=VERSION, OPENAPI_VERSION="3.1.0")
    described = DescribedApi(app, spec_kwargs={"info": _info(), "servers": [_SERVER]})
    described.register_converter(
        TrackingId, lambda _: {"type": "string", "pattern": f"^{TrackingId.regex}$", "maxLength": 64}
    )
    described.register_converter(ActName, lambda _: {"type": "string", "enum": list(Act)})
    described.register_converter(KindName, lambda _: {"type": "string", "enum": list(Kind)})
    described.register_converter(
        PartnerName, lambda _: {"type": "string", "pattern": f"^{PartnerName.regex}$"}
    )
    components = described.spec.components
    for name, schema in _schemas().items():
        components.schema(name, schema)
    for name, header in HEADERS.items():
        components.header(name, header)
    components.security_scheme(
        "ApiKey",
        {
            "type": "http",
            "scheme": "bearer",
            "description": "Your API key, or a JWT of the issuer that the platform trusts.",
        },
    )
    components.security_scheme("PartnerSignature", described_callbacks.SIGNATURE)
    return described


def finished(api: Api) -> dict[str, Any]:
    """Give the document, without the components that flask-smorest adds for its own kind of answers."""
    described: dict[str, Any] = api.spec.to_dict()
    for unused in ("Error", "PaginationMetadata"):
        described["components"]["schemas"].pop(unused)
    bounded: dict[str, Any] = bounds.bounded(described)
    return bounded


def _info() -> dict[str, Any]:
    return {
        "description": _DESCRIPTION,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        "contact": {"name": "The UOOP maintainers"},
    }


def _schemas() -> dict[str, dict[str, Any]]:
    """Gather the components; what clients send has names of its own beside what they get."""
    sent = document.schema(REF)
    sent["SubmittedOrder"] = sent.pop("Order")
    _, told = msgspec.json.schema_components(
        [
            *representations.SCHEMAS,
            *runs.SCHEMAS,
            *differences.SCHEMAS,
            *refunds.SCHEMAS,
            *pauses.SCHEMAS,
            *channels.SCHEMAS,
            *capacity.SCHEMAS,
            *instructions.SCHEMAS,
            *deliveries.SCHEMAS,
            *delivery_instructions.SCHEMAS,
            *webhooks.SCHEMAS,
            *webhook_instructions.SCHEMAS,
            *callbacks.SCHEMAS,
            *health.SCHEMAS,
            *batches.SCHEMAS,
            Problem,
        ],
        ref_template=REF,
    )
    return {**sent, "SubmittedBatch": described_batches.SUBMITTED, **told}
