"""What the HTTP shells ask of the platform; the composition root fills it, tests fill it with fakes."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from app.orders.model import Accepted, NewOrder
from app.orders.views import OrderFilter, OrderPage, OrderView, Position, TimelineEntry


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a tenant, by one of its keys."""

    tenant_id: str
    key_prefix: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """
    Ports of the front door. All may raise `app.errors.Unavailable`.

    authenticate(token)            whose token it is, None when nobody's
    accept(new)                    a future that ends after the commit, with Accepted or with KeyReused,
                                   ExternalIdTaken, Unavailable
    order(tenant_id, order_id)     None when the tenant has no such order
    list_orders(tenant_id, filter, after, limit)  newest first, those after the position `after`
    timeline(tenant_id, order_id)  oldest first, None when the tenant has no such order
    readiness()                    every dependency: True, or False, or a word on what is missing
    metrics()                      the exposition and its content type
    shedding()                     None, or after how many seconds a refused client may come again; asked
                                   before anything of a submission is read, so it only looks
    """

    authenticate: Callable[[str], Principal | None]
    accept: Callable[[NewOrder], Future[Accepted]]
    order: Callable[[str, str], OrderView | None]
    list_orders: Callable[[str, OrderFilter, Position | None, int], OrderPage]
    timeline: Callable[[str, str], list[TimelineEntry] | None]
    readiness: Callable[[], Mapping[str, bool | str]]
    metrics: Callable[[], tuple[bytes, str]]
    shedding: Callable[[], float | None]
