"""The waiting room of a process: clients that wait for an order to change, each a future and no thread."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import Gauge

from web.services import OrderChanges

WAITING = Gauge(
    "uoop_waiting_clients", "Clients that wait for an order to change.", multiprocess_mode="livesum"
)


class Waiter:
    """One client and its order."""

    __slots__ = ("_known", "_loop", "_woken", "told")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._woken: asyncio.Future[None] | None = None
        self._known = 0
        self.told = 0
        """The highest version heard of since the client came in."""

    def wake(self, version: int) -> None:
        self.told = max(self.told, version)
        if version > self._known and self._woken and not self._woken.done():
            self._woken.set_result(None)

    async def beyond(self, version: int, within_s: float, gone: "asyncio.Future[None]") -> bool:
        """Wait until the order is told to be beyond a version; False when time is over or the client is gone."""
        end, self._known = self._loop.time() + within_s, version
        while self.told <= version:
            left_s = end - self._loop.time()
            if left_s <= 0 or gone.done():
                return False
            self._woken = self._loop.create_future()
            await asyncio.wait({self._woken, gone}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        return True


class WaitingRoom:
    """A bounded number of places; used from one event loop, told from any thread."""

    def __init__(self, changes: OrderChanges, *, places: int) -> None:
        self._changes, self._places = changes, places
        self._taken = 0
        self._waiters: dict[str, set[Waiter]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def place(self, order_id: str) -> Iterator[Waiter | None]:
        """
        A place from which the order is watched; None when all are taken.

        Take it before reading the order: what changes afterwards is told.
        """
        if self._taken >= self._places:
            yield None
            return
        waiter = self._enter(order_id)
        try:
            yield waiter
        finally:
            self._leave(order_id, waiter)

    def watched(self) -> list[str]:
        return list(self._waiters)

    def tell(self, versions: Mapping[str, int]) -> None:
        mine = {order_id: version for order_id, version in versions.items() if order_id in self._waiters}
        if mine and self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, mine)

    def _enter(self, order_id: str) -> Waiter:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._changes.follow(self)
        waiter = Waiter(loop)
        self._waiters.setdefault(order_id, set()).add(waiter)
        self._taken += 1
        WAITING.inc()
        return waiter

    def _leave(self, order_id: str, waiter: Waiter) -> None:
        self._taken -= 1
        WAITING.dec()
        here = self._waiters[order_id]
        here.discard(waiter)
        if not here:
            del self._waiters[order_id]

    def _wake(self, versions: Mapping[str, int]) -> None:
        for order_id, version in versions.items():
            for waiter in self._waiters.get(order_id, ()):
                waiter.wake(version)
