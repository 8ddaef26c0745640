"""Reading on the hot lane: an order's status, at once or by long poll when it changes, and its events."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from app import errors
from app.orders.model import FINAL
from web import event_streams, following, preferences
from web.following import Told
from web.gathering import Gathering
from web.services import OrderKey, Principal, Services, Tracked
from web.waiting import Waiter, WaitingRoom

READERS = 4  # threads: more of them only fight for the interpreter
ORDER = re.compile(r"/v1/orders/([0-9A-Za-z_-]{1,64})")
EVENTS = re.compile(ORDER.pattern + "/events")
ROUTE = "/v1/orders/<tracking:order_id>"
EVENTS_ROUTE = ROUTE + "/events"
FULL_AGAIN_S = 5
NOT_MODIFIED = 304


class NoPlace(errors.Unavailable):
    """Too many clients wait at this process."""

    code = "no-place"


class HotReading:
    """Answers from the cache, and from Postgres, which a few threads ask; who waits costs no thread."""

    def __init__(self, services: Services, *, places: int) -> None:
        """:param places: clients that may wait at a time"""
        self._tracking, self._events = services.tracking, services.events
        self._room = WaitingRoom(services.changes, places=places)
        self._readers = ThreadPoolExecutor(READERS, "reading")
        self._kept = Gathering(services.tracking.kept)
        self._read = Gathering(self._read_in_thread)

    def close(self) -> None:
        """Nobody waits any more: all are answered, and streams end."""
        self._room.close()

    async def order(self, caller: Principal, order_id: str, if_none_match: str | None) -> Told | None:
        """What is told of the order now; None for Flask to say what is wrong."""
        try:
            found = await self._find(caller, order_id)
        except (errors.UoopError, TimeoutError):
            return None
        return following.told(found, if_none_match) if found else None

    async def changed_order(
        self,
        caller: Principal,
        order_id: str,
        if_none_match: str | None,
        wait_s: int,
        gone: "asyncio.Future[None]",
    ) -> tuple[Told | None, float]:
        """
        What is told of the order once it has changed, and for how many seconds its client had waited; None as above.

        :param gone: is done when the client no longer listens
        """
        try:
            return await self._wait(caller, order_id, if_none_match, wait_s, gone)
        except (errors.UoopError, TimeoutError):
            return None, 0.0

    async def events(
        self,
        caller: Principal,
        order_id: str,
        last_event_id: str | None,
        write: Callable[[bytes], Awaitable[None]],
        gone: "asyncio.Future[None]",
    ) -> None:
        """
        Write the order's events behind the last one that the client has, then each as it happens.

        Ends some seconds after the order's last status, and after a quarter of an hour: the client comes again.

        Writes nothing when it is for Flask to answer.

        :raises NoPlace: with nothing written, when too many wait
        """
        after = event_streams.after(last_event_id)
        with self._room.place(order_id, caller.tenant_id) as waiter:
            found = await self._find(caller, order_id)
            if found is None or found.status in FINAL:
                return
            if waiter is None:
                raise NoPlace(retry_after_s=FULL_AGAIN_S)
            await write(event_streams.BEGINNING)
            await self._tell_on(caller, order_id, after, waiter, write, gone)

    async def _tell_on(
        self,
        caller: Principal,
        order_id: str,
        after: int,
        waiter: Waiter,
        write: Callable[[bytes], Awaitable[None]],
        gone: "asyncio.Future[None]",
    ) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + event_streams.LONGEST_S
        while not (gone.done() or waiter.ended) and loop.time() < end:
            heard_of = waiter.told
            events = await loop.run_in_executor(
                self._readers, self._events, caller.tenant_id, order_id, after
            )
            if events:
                await write(b"".join(map(event_streams.block, events)))
                after = events[-1].sequence
                if any(map(event_streams.is_final, events)):
                    end = min(end, loop.time() + event_streams.ENDS_AFTER_S)
            elif waiter.told == heard_of:
                waiter.told = after  # what it was woken for is not in the log yet: it is told again
            wait_s = min(end - loop.time(), event_streams.HEARTBEAT_S)
            if not await waiter.beyond(after, wait_s, gone) and not (gone.done() or waiter.ended):
                await write(event_streams.HEARTBEAT)

    async def _wait(
        self,
        caller: Principal,
        order_id: str,
        if_none_match: str | None,
        wait_s: int,
        gone: "asyncio.Future[None]",
    ) -> tuple[Told | None, float]:
        started = perf_counter()
        with self._room.place(order_id, caller.tenant_id) as waiter:
            found = await self._find(caller, order_id)
            began = perf_counter()
            if waiter is None:
                return _turned_away(following.told(found, if_none_match)) if found else None, 0.0
            waits = found is not None and following.is_worth_waiting(found, if_none_match)
            if found and waits:
                await waiter.beyond(found.version, wait_s - (began - started), gone)
                if not gone.done():
                    found = await self._find(caller, order_id, waiter.told)
        if found is None:
            return None, 0.0
        status, fields, body = following.told(found, if_none_match)
        if (
            waits or status != NOT_MODIFIED
        ):  # nothing more comes of an order that has ended: its client need not wait
            fields += preferences.applied(wait_s)
        return (status, fields, body), perf_counter() - began

    async def _find(self, caller: Principal, order_id: str, at_least: int = 0) -> Tracked | None:
        """
        One order, None when the caller's tenant has no such order.

        :param at_least: a version that the order is known to have reached: what is kept from before is not told
        """
        order = (caller.tenant_id, order_id)
        found = await self._kept.find(order)
        if found is None or found.version < at_least:
            found = await self._read_anew(order)
        return found

    async def _read_anew(self, order: OrderKey) -> Tracked | None:
        try:
            return await self._read.find(order)
        except errors.UoopError:
            raise
        except Exception:  # noqa: BLE001 (of some order that was read with this one: now this one alone)
            (found,) = await self._read_in_thread([order])
            return found

    async def _read_in_thread(self, orders: Sequence[OrderKey]) -> Sequence[Tracked | None]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._tracking.read, orders)


def _turned_away(told: Told) -> Told:
    """The room is full: what stands now, and when to come again."""
    status, fields, body = told
    if any(name == "Retry-After" for name, _ in fields):
        return told
    return status, [*fields, ("Retry-After", "1")], body
