"""Doing things at the same time."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def at_once(work: Callable[[], T], times: int) -> list[T]:
    """Do the same in that many threads that start together; what each of them got."""
    return all_at_once([work] * times)


def all_at_once(works: Sequence[Callable[[], T]]) -> list[T]:
    """Do these in threads that start together; what each got, in order. Raises what any of them raised."""
    start = threading.Barrier(len(works))

    def one(work: Callable[[], T]) -> T:
        start.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))
