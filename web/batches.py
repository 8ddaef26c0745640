"""Many orders in one request: each is judged, accepted and answered by itself."""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Annotated

import msgspec
from flask import Response, request
from flask_smorest import Blueprint
from msgspec import Meta

from app import errors
from app.orders import document, faults
from app.orders.document import PATTERN_MEANINGS, InvalidOrder
from app.orders.faults import Fault
from app.orders.model import Accepted, NewOrder
from web import authentication, instructions, paths, problems, representations, submissions, trace_context
from web.authentication import ORDERS_WRITE
from web.description import batches as described
from web.problems import Problem
from web.representations import AcceptedOrder
from web.services import Principal, Services

AT_MOST = 1000
BODY_LIMIT_BYTES = 4 * 1024 * 1024
ACCEPT_WAIT_S = 10.0

Asked = Future[Accepted] | errors.UoopError


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Orders as they came, none of them looked at."""

    orders: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=AT_MOST)]


class Keyed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One order with its key."""

    idempotency_key: str
    order: msgspec.Raw


class BatchResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    What became of one order of the batch.

    `status` is what the order would have been answered alone; with 202 there is `order`, else `problem`.
    """

    status: int
    order: AcceptedOrder | None = None
    replayed: bool = False
    problem: Problem | None = None


class BatchResults(msgspec.Struct, frozen=True):
    """One result for each order, in the order in which they came."""

    results: list[BatchResult]


SCHEMAS = (BatchResults,)

_decode = msgspec.json.Decoder(Keyed).decode


def blueprint(services: Services) -> Blueprint:
    """Bind the route to the services."""
    batches = Blueprint(
        "batches", __name__, url_prefix=paths.BATCH, description="Submit many orders at once."
    )

    @batches.route("", methods=["POST"])
    @described.SUBMIT
    def submit() -> Response:
        caller = authentication.caller(services, ORDERS_WRITE)
        submissions.admit(services, caller.tenant_id)
        batch = instructions.read(Batch, limit_bytes=BODY_LIMIT_BYTES, refusal=InvalidOrder)
        services.limits.charge(caller, len(batch.orders) - 1)
        trace = trace_context.read(request.environ.get("HTTP_TRACEPARENT"))
        asked = [_ask(services, caller, n, bytes(raw), trace) for n, raw in enumerate(batch.orders)]
        return representations.json(BatchResults([*_results(asked)]))

    return batches


def _ask(services: Services, caller: Principal, n: int, raw: bytes, trace: str | None) -> Asked:
    try:
        new = _read(caller, n, raw, trace)
    except errors.UoopError as refusal:
        return refusal
    return services.accept(new)


def _read(caller: Principal, n: int, raw: bytes, trace: str | None) -> NewOrder:
    try:
        keyed = _decode(raw)
        key = submissions.idempotency_key(keyed.idempotency_key)
        order = document.decode(bytes(keyed.order))
    except msgspec.ValidationError as wrong:
        raise InvalidOrder([_below(f"/orders/{n}", faults.of_schema(wrong, PATTERN_MEANINGS))]) from None
    except InvalidOrder as refused:
        raise type(refused)([_below(f"/orders/{n}/order", fault) for fault in refused.faults]) from None
    return NewOrder(caller.tenant_id, key, document.fingerprint(order), order, trace)


def _below(place: str, fault: Fault) -> Fault:
    return Fault(place + fault.pointer, fault.code, fault.message)


def _results(asked: list[Asked]) -> Iterator[BatchResult]:
    """Wait for all, and for none of them longer than one would be waited for alone."""
    until = time.monotonic() + ACCEPT_WAIT_S
    for n, each in enumerate(asked):
        try:
            if isinstance(each, errors.UoopError):
                raise each
            accepted = each.result(max(0.0, until - time.monotonic()))
        except errors.UoopError as refusal:
            yield _refused(n, refusal)
        except TimeoutError:
            yield _refused(n, errors.Unavailable())
        else:
            yield BatchResult(202, representations.accepted_order(accepted), accepted.replayed)


def _refused(n: int, refusal: errors.UoopError) -> BatchResult:
    problem = problems.of_part(refusal, f"/orders/{n}")
    return BatchResult(problem.status, problem=problem)
