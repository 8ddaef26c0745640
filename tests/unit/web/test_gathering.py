"""Who asks at the same time is answered by one question."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from web.gathering import Gathering


class Oracle:
    """Answers in capitals, once it may; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may = asyncio.Event()
        self.fails: Exception | None = None

    async def __call__(self, wanted: list[str]) -> list[str]:
        self.asked.append(wanted)
        await self.may.wait()
        if self.fails:
            raise self.fails
        return [each.upper() for each in wanted]


def played(story: Callable[[Oracle, "Gathering[str, str]"], Awaitable[list[object]]]) -> list[object]:
    async def play() -> list[object]:
        oracle = Oracle()
        return await asyncio.wait_for(story(oracle, Gathering(oracle)), 10)

    return asyncio.run(play())


def test_all_who_ask_in_one_turn_are_answered_by_one_question() -> None:
    async def story(oracle: Oracle, gathering: "Gathering[str, str]") -> list[object]:
        oracle.may.set()
        told = await asyncio.gather(*(gathering.find(each) for each in "abab"))
        return [told, oracle.asked]

    assert played(story) == [["A", "B", "A", "B"], [["a", "b"]]]


def test_who_asks_meanwhile_is_not_told_what_was_found_before() -> None:
    async def story(oracle: Oracle, gathering: "Gathering[str, str]") -> list[object]:
        first = gathering.find("a")
        while not oracle.asked:
            await asyncio.sleep(0)
        later = [gathering.find(each) for each in "ab"]
        oracle.may.set()
        return [await first, *(await asyncio.gather(*later)), oracle.asked]

    assert played(story) == ["A", "A", "B", [["a"], ["a", "b"]]]


def test_what_goes_wrong_is_told_to_those_who_asked_and_to_nobody_later() -> None:
    async def story(oracle: Oracle, gathering: "Gathering[str, str]") -> list[object]:
        oracle.may.set()
        oracle.fails = ValueError("away")
        failed = await asyncio.gather(gathering.find("a"), gathering.find("b"), return_exceptions=True)
        oracle.fails = None
        return [*map(type, failed), await gathering.find("a")]

    assert played(story) == [ValueError, ValueError, "A"]


@pytest.mark.parametrize("fails", [None, ValueError("away")])
def test_who_left_takes_nothing_from_the_others(fails: Exception | None) -> None:
    async def story(oracle: Oracle, gathering: "Gathering[str, str]") -> list[object]:
        oracle.fails = fails
        left, stays = gathering.find("a"), gathering.find("a")
        left.cancel()
        oracle.may.set()
        with suppress(ValueError):
            await stays
        return [stays.done(), await asyncio.gather(left, return_exceptions=True)]

    done, (gone,) = played(story)  # type: ignore[misc]

    assert (done, type(gone)) == (True, asyncio.CancelledError)
