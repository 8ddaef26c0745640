"""The routes of orders."""

from flask import Response, request
from flask_smorest import Blueprint

from app.orders import document
from app.orders.model import NewOrder, OrderNotFound
from app.runs.allowed import Act
from sagas.operations import Instruction
from web import authentication, event_streams, following, queries, representations, submissions, trace_context
from web.authentication import EVENTS_READ, ORDERS_READ, ORDERS_WRITE
from web.description import operations
from web.queries import SubmitQuery
from web.representations import Validated
from web.services import Services

ACCEPT_WAIT_S = 10.0


def blueprint(services: Services) -> Blueprint:
    """Bind the routes to the services."""
    orders = Blueprint(
        "orders", __name__, url_prefix="/v1/orders", description="Submit orders and follow them."
    )

    @orders.route("", methods=["POST"])
    @operations.SUBMIT
    def submit() -> Response:
        principal = authentication.caller(services, ORDERS_WRITE)
        submissions.admit(services, principal.tenant_id)
        if queries.read(SubmitQuery).validate_only:
            document.decode(submissions.body())
            return representations.json(Validated(True))
        key = submissions.idempotency_key(request.environ.get("HTTP_IDEMPOTENCY_KEY"))
        order = document.decode(submissions.body())
        trace = trace_context.read(request.environ.get("HTTP_TRACEPARENT"))
        new = NewOrder(principal.tenant_id, key, document.fingerprint(order), order, trace)
        return representations.accepted(services.accept(new).result(ACCEPT_WAIT_S))

    @orders.route("", methods=["GET"])
    @operations.LIST
    def list_orders() -> Response:
        principal = authentication.caller(services, ORDERS_READ)
        query = queries.order_list()
        page = services.list_orders(principal.tenant_id, query.filter(), query.after(), query.limit)
        return representations.order_list(page)

    @orders.route("/<tracking:order_id>", methods=["GET"])
    @operations.ORDER
    def tracking(order_id: str) -> Response:
        principal = authentication.caller(services, ORDERS_READ)
        found = services.tracking.find((principal.tenant_id, order_id))
        if found is None:
            raise OrderNotFound()
        status, fields, body = following.told(found, request.environ.get("HTTP_IF_NONE_MATCH"))
        return Response(body, status, fields)

    @orders.route("/<tracking:order_id>/cancel", methods=["POST"])
    @operations.CANCEL
    def cancel(order_id: str) -> Response:
        principal = authentication.caller(services, ORDERS_WRITE)
        view = services.order(principal.tenant_id, order_id)
        if view is None:
            raise OrderNotFound()
        representations.match(view)
        wanted = Instruction(act=Act.CANCEL, who=f"key {principal.key_prefix}", why="the client asked for it")
        services.runs.act(principal.tenant_id, order_id, wanted)
        return representations.cancelling(order_id)

    @orders.route("/<tracking:order_id>/timeline", methods=["GET"])
    @operations.TIMELINE
    def timeline(order_id: str) -> Response:
        principal = authentication.caller(services, ORDERS_READ)
        entries = services.timeline(principal.tenant_id, order_id)
        if entries is None:
            raise OrderNotFound()
        return representations.timeline(order_id, entries)

    @orders.route("/<tracking:order_id>/events", methods=["GET"])
    @operations.EVENTS
    def stream(order_id: str) -> Response:
        principal = authentication.caller(services, EVENTS_READ, ORDERS_READ)
        found = services.tracking.find((principal.tenant_id, order_id))
        if found is None:
            raise OrderNotFound()
        after = event_streams.after(request.headers.get("Last-Event-ID"))
        events = services.events(principal.tenant_id, order_id, 0)
        if event_streams.is_over(found, events, after):
            return Response(status=204)
        blocks = [event_streams.block(event) for event in events if event.sequence > after]
        body = b"".join([event_streams.BEGINNING, *blocks])
        return Response(body, 200, content_type=event_streams.MEDIA_TYPE)

    return orders
