"""Reading on the hot lane: an order's status, told at once or, by long poll, when it changes."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from app import errors
from web import following, preferences
from web.following import Told
from web.services import Principal, Services, Tracked
from web.waiting import WaitingRoom

READERS = 4  # threads: more of them only fight for the interpreter
ORDER = re.compile(r"/v1/orders/([0-9A-Za-z_-]{1,64})")
ROUTE = "/v1/orders/<tracking:order_id>"


class HotReading:
    """Answers from the cache and Postgres, which a few threads ask; who waits costs no thread."""

    def __init__(self, services: Services, *, places: int) -> None:
        """:param places: clients that may wait at a time"""
        self._track = services.track
        self._room = WaitingRoom(services.changes, places=places)
        self._readers = ThreadPoolExecutor(READERS, "reading")

    async def order(
        self,
        caller: Principal,
        order_id: str,
        if_none_match: str | None,
        wait_s: int,
        gone: "asyncio.Future[None]",
    ) -> tuple[Told | None, float]:
        """
        What is told of the order, and for how many seconds its client had waited; None for Flask to say what is wrong.

        :param gone: is done when the client no longer listens
        """
        try:
            if wait_s:
                return await self._wait(caller, order_id, if_none_match, wait_s, gone)
            found = await self._find(caller, order_id, 0)
        except (errors.UoopError, TimeoutError):
            return None, 0.0
        return following.told(found, if_none_match) if found else None, 0.0

    async def _wait(
        self,
        caller: Principal,
        order_id: str,
        if_none_match: str | None,
        wait_s: int,
        gone: "asyncio.Future[None]",
    ) -> tuple[Told | None, float]:
        started = perf_counter()
        with self._room.place(order_id) as waiter:
            found = await self._find(caller, order_id, 0)
            began = perf_counter()
            if waiter is None:
                return _turned_away(following.told(found, if_none_match)) if found else None, 0.0
            if found and following.is_worth_waiting(found, if_none_match):
                await waiter.beyond(found.version, wait_s - (began - started), gone)
                if not gone.done():
                    found = await self._find(caller, order_id, waiter.told)
        if found is None:
            return None, 0.0
        status, fields, body = following.told(found, if_none_match)
        return (status, [*fields, *preferences.applied(wait_s)], body), perf_counter() - began

    async def _find(self, caller: Principal, order_id: str, at_least: int) -> Tracked | None:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._track, caller.tenant_id, order_id, at_least)


def _turned_away(told: Told) -> Told:
    """The room is full: what stands now, and when to come again."""
    status, fields, body = told
    if any(name == "Retry-After" for name, _ in fields):
        return told
    return status, [*fields, ("Retry-After", "1")], body
