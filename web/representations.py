"""What is sent for an order: the views of the platform with links, as JSON."""

from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

import msgspec
from flask import Response, request

from app import errors
from app.orders.document import Moment
from app.orders.model import Accepted, Status
from app.orders.views import OrderPage, OrderSummary, OrderView, TimelineEntry
from web import cursors, pacing, paths

RETRY_AFTER_S = "1"

_encode = msgspec.json.Encoder().encode


class PreconditionFailed(errors.Conflict):
    """The order is not as you have it."""

    code = "precondition-failed"


class OrderLinks(msgspec.Struct, frozen=True):
    """Where more is told about the order."""

    self: str
    timeline: str


class AcceptedOrder(msgspec.Struct, frozen=True):
    """The order is committed and on its way."""

    tracking_id: str
    status: Status
    created_at: Moment
    links: OrderLinks


class Validated(msgspec.Struct, frozen=True):
    """The order would be accepted; nothing was kept."""

    valid: bool


class Cancelling(msgspec.Struct, frozen=True):
    """The order will be CANCELLED when all is undone; who delivers it may still keep it."""

    tracking_id: str
    links: OrderLinks


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(OrderView):
    """One order: where it stands and how it came there."""

    links: OrderLinks


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedOrder(OrderSummary):
    """One order in a list."""

    links: OrderLinks


class OrderList(msgspec.Struct, frozen=True):
    """Part of a list, newest first. `next_cursor` fetches what follows; null at the end."""

    orders: list[ListedOrder]
    next_cursor: str | None


class Timeline(msgspec.Struct, frozen=True):
    """What happened to an order, oldest first."""

    tracking_id: str
    entries: list[TimelineEntry]
    links: OrderLinks


SCHEMAS = (AcceptedOrder, Validated, Cancelling, Order, OrderList, Timeline)


def json(document: object, status: int = 200) -> Response:
    """Answer with a document."""
    return Response(_encode(document), status, mimetype="application/json")


def accepted(outcome: Accepted) -> Response:
    """Answer a submission: 202 with the place where the order can be followed."""
    body, headers = accepted_parts(outcome)
    return Response(body, 202, headers, mimetype="application/json")


def cancelling(order_id: str) -> Response:
    """Answer a wish to cancel: 202, and where to see what becomes of it."""
    answer = json(Cancelling(order_id, _links(order_id)), status=202)
    answer.headers["Location"] = paths.ORDER.format(order_id=order_id)
    answer.headers["Retry-After"] = RETRY_AFTER_S
    return answer


def accepted_parts(outcome: Accepted) -> tuple[bytes, list[tuple[str, str]]]:
    """Body and headers of a 202."""
    order = accepted_order(outcome)
    headers = [("Location", order.links.self), pacing.retry_after(outcome.created_at.timestamp())]
    if outcome.replayed:
        headers.append(("Idempotency-Replayed", "true"))
    return _encode(order), headers


def accepted_order(outcome: Accepted) -> AcceptedOrder:
    return AcceptedOrder(outcome.order_id, Status.PENDING, outcome.created_at, _links(outcome.order_id))


def order_body(view: OrderView) -> bytes:
    """One order as it is told."""
    return _encode(Order(**_values(view), links=_links(view.tracking_id)))


def etag_of(version: int, body: bytes) -> str:
    """The strong validator: the order's version, and a digest for what changes between two of them."""
    return f"{version}-{blake2b(body, digest_size=12).hexdigest()}"


def match(view: OrderView) -> None:
    """
    Heed the If-Match header of the current request (RFC 9110, section 13.1.1).

    :raises PreconditionFailed: if the order is not as the client has it
    """
    wanted = request.if_match
    if "If-Match" in request.headers and not wanted.contains(etag_of(view.version, order_body(view))):
        raise PreconditionFailed()


def order_list(page: OrderPage) -> Response:
    """Answer with a part of a list."""
    listed = [ListedOrder(**_values(each), links=_links(each.tracking_id)) for each in page.orders]
    return json(OrderList(listed, cursors.encode(page.next) if page.next else None))


def timeline(order_id: str, entries: list[TimelineEntry]) -> Response:
    """Answer with an order's history."""
    return json(Timeline(order_id, entries, _links(order_id)))


def _links(order_id: str) -> OrderLinks:
    return OrderLinks(paths.ORDER.format(order_id=order_id), paths.TIMELINE.format(order_id=order_id))


def _values(view: OrderView | OrderSummary) -> dict[str, Any]:
    return {field.name: getattr(view, field.name) for field in fields(view)}
