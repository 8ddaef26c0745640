"""Places to wait are shared by the tenants, and end with the room."""

import asyncio
from contextlib import ExitStack

from fake_platform import Changes

from web.waiting import WaitingRoom


def taken(stack: ExitStack, room: WaitingRoom, tenant: str) -> int:
    """How many places the tenant gets when it takes all that it can."""
    count = 0
    while stack.enter_context(room.place(f"{tenant}-{count}", tenant)) is not None:
        count += 1
    return count


def test_one_tenant_leaves_places_to_others() -> None:
    async def enter() -> list[int]:
        room = WaitingRoom(Changes(), places=100)
        with ExitStack() as stack:
            return [taken(stack, room, tenant) for tenant in ("a", "b", "c")]

    assert asyncio.run(enter()) == [75, 19, 5]


def test_a_place_that_is_left_is_anybodys() -> None:
    async def enter() -> int:
        room = WaitingRoom(Changes(), places=100)
        with ExitStack() as stack:
            taken(stack, room, "a")
        with ExitStack() as stack:
            return taken(stack, room, "b")

    assert asyncio.run(enter()) == 75


def test_nobody_waits_in_a_room_that_is_closed() -> None:
    async def close() -> tuple[bool, bool]:
        room = WaitingRoom(Changes(), places=100)
        with room.place("order", "a") as waiter:
            assert waiter is not None
            gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting = asyncio.ensure_future(waiter.beyond(0, 60, gone))
            await asyncio.sleep(0)
            room.close()
            changed = await asyncio.wait_for(waiting, 10)
        with room.place("order", "a") as late:
            return changed, late is None

    assert asyncio.run(close()) == (False, True)
