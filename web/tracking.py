"""Where one order stands, as it is told: kept ready as bytes in a cache that all API processes share."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import time
from typing import Protocol

import msgspec

from app.orders.model import FINAL
from app.orders.views import OrderView
from web import representations
from web.services import Tracked

KEPT_MS = 1000  # of an order under way: its steps change between two versions
KEPT_AT_REST_MS = 5_000  # what befalls it next makes this outrun; should that fail, it is told so much later
KEPT_FINAL_MS = 10_000
SHARED_WITHIN_S = 35.0  # above the longest statement

Rank = tuple[int, int]


class StatusCache(Protocol):
    """Keeps what was last told of orders. It may lose everything and be away: then it has nothing."""

    def get(self, tenant_id: str, order_id: str) -> bytes | None: ...

    def put(self, tenant_id: str, order_id: str, told: bytes, *, rank: Rank, for_ms: int) -> None:
        """Keep it, unless something of a higher rank is kept: (version, time of the reading in ms)."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Tracked).decode


class Tracking:
    """Finds orders in the cache, else in Postgres; who asks for the same at the same time shares one answer."""

    def __init__(self, order: Callable[[str, str], OrderView | None], cache: StatusCache) -> None:
        self._order, self._cache = order, cache
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, str], Future[Tracked | None]] = {}

    def find(self, tenant_id: str, order_id: str, at_least: int = 0) -> Tracked | None:
        """
        One order, None when the tenant has no such order.

        :param at_least: a version that the order is known to have reached: what is older is not told
        """
        key = (tenant_id, order_id)
        with self._lock:
            shared = self._under_way.get(key)
            mine: Future[Tracked | None] = Future()
            if shared is None:
                self._under_way[key] = mine
        if shared is not None:
            found = shared.result(SHARED_WITHIN_S)
            return found if _reaches(found, at_least) else self._read(tenant_id, order_id)
        try:
            found = self._kept(tenant_id, order_id, at_least) or self._read(tenant_id, order_id)
            mine.set_result(found)
            return found
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._under_way[key]

    def _kept(self, tenant_id: str, order_id: str, at_least: int) -> Tracked | None:
        told = self._cache.get(tenant_id, order_id)
        found = _decode(told) if told else None
        return found if _reaches(found, at_least) else None

    def _read(self, tenant_id: str, order_id: str) -> Tracked | None:
        read_at_ms = int(time() * 1000)
        view = self._order(tenant_id, order_id)
        if view is None:
            return None
        body = representations.order_body(view)
        etag = representations.etag_of(view.version, body)
        found = Tracked(view.version, view.status, view.created_at.timestamp(), etag, body)
        self._cache.put(
            tenant_id,
            order_id,
            _encode(found),
            rank=(found.version, read_at_ms),
            for_ms=_kept_for_ms(view),
        )
        return found


def _kept_for_ms(view: OrderView) -> int:
    if view.stage is not None:
        return KEPT_MS
    return KEPT_FINAL_MS if view.status in FINAL else KEPT_AT_REST_MS


def _reaches(found: Tracked | None, version: int) -> bool:
    return found is not None and found.version >= version
