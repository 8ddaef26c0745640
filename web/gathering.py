"""One question for all who ask at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Found = TypeVar("Found")


class Gathering(Generic[Asked, Found]):
    """
    Asks once for all that is wanted in one turn of the event loop; what is wanted meanwhile is asked for next.

    Equal wishes are one. Nobody is told what was found before he asked. Used from one event loop.
    """

    def __init__(self, ask: Callable[[list[Asked]], Awaitable[Sequence[Found]]]) -> None:
        """:param ask: one answer for each that is asked for, in order; what it raises is told to all of them"""
        self._ask = ask
        self._waiting: dict[Asked, list[asyncio.Future[Found]]] = {}
        self._asking: asyncio.Task[None] | None = None

    def find(self, wanted: Asked) -> "asyncio.Future[Found]":
        """A future of the answer; who no longer wants it cancels it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Found] = loop.create_future()
        self._waiting.setdefault(wanted, []).append(future)
        if self._asking is None:
            self._asking = loop.create_task(self._answer_all())
        return future

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                await self._answer(asked)
        finally:
            self._asking = None

    async def _answer(self, asked: dict[Asked, list["asyncio.Future[Found]"]]) -> None:
        try:
            found = await self._ask([*asked])
        except Exception as error:  # noqa: BLE001 (told to all who asked)
            for future in _open(*asked.values()):
                future.set_exception(error)
            return
        for futures, answer in zip(asked.values(), found, strict=True):
            for future in _open(futures):
                future.set_result(answer)


def _open(*asked: list["asyncio.Future[Found]"]) -> Iterator["asyncio.Future[Found]"]:
    return (future for futures in asked for future in futures if not future.done())
