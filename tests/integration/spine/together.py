"""Doing things at the same time."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def at_once(work: Callable[[], T], times: int) -> list[T]:
    """Do the same in that many threads that start together; what each of them got."""
    return all_at_once([work] * times)


def all_at_once(works: Sequence[Callable[[], T]]) -> list[T]:
    """Do these in threads that start together; what each got, in order."""
    start = threading.Barrier(len(works))
    results: dict[int, T] = {}

    def one(n: int) -> None:
        start.wait()
        results[n] = works[n]()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[n] for n in range(len(works))]
