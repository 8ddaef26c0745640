"""Where orders stand, as it is told: kept ready as bytes in a cache that all API processes share."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from time import time
from typing import NamedTuple, Protocol

import msgspec

from app.orders.model import FINAL
from app.orders.views import OrderView
from web import representations
from web.services import OrderKey, Tracked

KEPT_MS = 1000  # of an order under way: its steps change between two versions
KEPT_AT_REST_MS = 5_000  # what befalls it next makes this outrun; should that fail, it is told so much later
KEPT_FINAL_MS = 10_000
SHARED_WITHIN_S = 35.0  # above the longest statement


class Entry(NamedTuple):
    """
    What is to be kept of an order.

    :param rank: version, and the time of the reading in ms since 1970
    """

    order: OrderKey
    told: bytes
    rank: tuple[int, int]
    for_ms: int


class StatusCache(Protocol):
    """Keeps what was last told of orders. It may lose everything and be away: then it has nothing."""

    def get(self, order: OrderKey) -> bytes | None: ...

    async def get_all(self, orders: Sequence[OrderKey]) -> Sequence[bytes | None]:
        """One answer for each, in order."""

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep them, each unless something of a higher rank is kept."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Tracked).decode


class Tracking:
    """Finds orders in the cache, else in Postgres."""

    def __init__(
        self, orders: Callable[[Sequence[OrderKey]], Mapping[OrderKey, OrderView]], cache: StatusCache
    ) -> None:
        self._orders, self._cache = orders, cache
        self._lock = threading.Lock()
        self._under_way: dict[OrderKey, Future[Tracked | None]] = {}

    def find(self, order: OrderKey) -> Tracked | None:
        """
        One order, None when the tenant has no such order.

        Who asks for the same from another thread at the same time shares the answer.
        """
        with self._lock:
            shared = self._under_way.get(order)
            mine: Future[Tracked | None] = Future()
            if shared is None:
                self._under_way[order] = mine
        if shared is not None:
            return shared.result(SHARED_WITHIN_S)
        try:
            found = _decoded(self._cache.get(order)) or self.read([order])[0]
            mine.set_result(found)
            return found
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._under_way[order]

    async def kept(self, orders: Sequence[OrderKey]) -> list[Tracked | None]:
        """What the cache has of each, on the event loop."""
        return [_decoded(told) for told in await self._cache.get_all(orders)]

    def read(self, orders: Sequence[OrderKey]) -> list[Tracked | None]:
        """Each as Postgres has it, None when the tenant has no such order; they are kept from now on."""
        read_at_ms = int(time() * 1000)
        views = self._orders(orders)
        found = {order: _tracked(view) for order, view in views.items()}
        if found:
            self._cache.put(
                [
                    Entry(order, _encode(told), (told.version, read_at_ms), _kept_for_ms(views[order]))
                    for order, told in found.items()
                ]
            )
        return [found.get(order) for order in orders]


def _decoded(told: bytes | None) -> Tracked | None:
    return _decode(told) if told else None


def _tracked(view: OrderView) -> Tracked:
    body = representations.order_body(view)
    etag = representations.etag_of(view.version, body)
    return Tracked(view.version, view.status, view.created_at.timestamp(), etag, body)


def _kept_for_ms(view: OrderView) -> int:
    if view.stage is not None:
        return KEPT_MS
    return KEPT_FINAL_MS if view.status in FINAL else KEPT_AT_REST_MS
