"""The waiting room of a process: clients that wait for an order to change, each a future and no thread."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import Gauge

from web.services import OrderChanges

FREE_TIMES = 3
WAITING = Gauge(
    "uoop_waiting_clients", "Clients that wait for an order to change.", multiprocess_mode="livesum"
)


class Waiter:
    """One client and its order."""

    __slots__ = ("_known", "_loop", "_woken", "ended", "told")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._woken: asyncio.Future[None] | None = None
        self._known = 0
        self.told = 0
        """The highest version heard of since the client came in."""
        self.ended = False
        """Nobody may wait any more."""

    def wake(self, version: int) -> None:
        self.told = max(self.told, version)
        if version > self._known and self._woken and not self._woken.done():
            self._woken.set_result(None)

    def end(self) -> None:
        self.ended = True
        if self._woken and not self._woken.done():
            self._woken.set_result(None)

    async def beyond(self, version: int, within_s: float, gone: "asyncio.Future[None]") -> bool:
        """Wait until the order is told to be beyond a version; False when time or the room ends, or the client left."""
        end, self._known = self._loop.time() + within_s, version
        while self.told <= version:
            left_s = end - self._loop.time()
            if left_s <= 0 or gone.done() or self.ended:
                return False
            self._woken = self._loop.create_future()
            await asyncio.wait({self._woken, gone}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        return True


class WaitingRoom:
    """
    A bounded number of places; used from one event loop, told from any thread.

    A tenant may have three times as many as are free: alone it gets three quarters of them, and the more tenants
    wait, the less each (dynamic thresholds: Choudhury and Hahne, 1998).
    """

    def __init__(self, changes: OrderChanges, *, places: int) -> None:
        self._changes, self._places = changes, places
        self._taken = Counter[str]()
        self._waiters: dict[str, set[Waiter]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def place(self, order_id: str, tenant_id: str) -> Iterator[Waiter | None]:
        """
        A place from which the order is watched; None when there is none for this tenant.

        Take it before reading the order: what changes afterwards is told.
        """
        if self._taken[tenant_id] >= FREE_TIMES * (self._places - self._taken.total()):
            yield None
            return
        waiter = self._enter(order_id)
        self._taken[tenant_id] += 1
        try:
            yield waiter
        finally:
            self._taken -= Counter({tenant_id: 1})  # drops who has none left
            self._leave(order_id, waiter)

    def close(self) -> None:
        """Let nobody wait any more, now or later."""
        self._places = 0
        for waiter in [waiter for here in self._waiters.values() for waiter in here]:
            waiter.end()

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
        WAITING.inc()
        return waiter

    def _leave(self, order_id: str, waiter: Waiter) -> None:
        WAITING.dec()
        here = self._waiters[order_id]
        here.discard(waiter)
        if not here:
            del self._waiters[order_id]

    def _wake(self, versions: Mapping[str, int]) -> None:
        for order_id, version in versions.items():
            for waiter in self._waiters.get(order_id, ()):
                waiter.wake(version)
