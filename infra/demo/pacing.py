"""How fast to send: decisions from plain values, made without a clock or a socket."""

from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import ClassVar, Protocol

LEAST_WINDOW, WIDEST_WINDOW = 400, 50_000
FIRST_WINDOW = 500
WANTED_S = 1.0  # from sending to CONFIRMED, of the slowest twentieth: leaves room below 2 s for hiccups

AGAIN_S = 0.25  # after an answer that is none
SLOWEST_AGAIN_S = 5.0


class Verdict(Enum):
    """What an answer means for its order."""

    ACCEPTED = auto()
    REFUSED = auto()  # sending it again changes nothing
    AGAIN = auto()  # the same request with the same key, later
    SLOWER = auto()  # as AGAIN, and everybody waits


def verdict(status: int) -> Verdict:
    """
    Read an answer's status; 408 and 425 say "again" as 5xx do.

    So does 409: orders of the load have no external id, so it can only be that the same is still being processed.
    """
    if status == 202:
        return Verdict.ACCEPTED
    if status in (429, 503):
        return Verdict.SLOWER
    return Verdict.AGAIN if status >= 500 or status in (408, 409, 425) else Verdict.REFUSED


def again_in_s(tries: int, retry_after_s: float | None) -> float:
    """When to send again, after `tries` sendings."""
    if retry_after_s is not None:
        return min(retry_after_s, SLOWEST_AGAIN_S)
    return min(AGAIN_S * 2.0 ** min(tries - 1, 10), SLOWEST_AGAIN_S)


class Pace(Protocol):
    """
    When the next new order may be sent.

    `heeds` says whether nobody is sent for as long as one who was turned away is told to wait.
    """

    heeds: ClassVar[bool]

    def due_in_s(self, elapsed_s: float, outstanding: int) -> float | None:
        """
        0 or less: now, and how late that is; more: then; None: not before an order has ended.

        :param outstanding: orders sent that have neither been refused nor ended
        """
        ...

    def sent(self) -> None:
        """A new order has been sent."""
        ...

    def adapt(self, now_s: float, *, slow_s: float | None, outstanding: int, shed: int) -> None:
        """
        Learn how the platform does.

        :param now_s: of any clock that does not go back
        :param slow_s: from sending to the end, of the slowest twentieth of the orders that ended just now
        :param shed: how many orders it has turned away so far
        """
        ...


class Schedule:
    """Open loop: every order has its moment, whatever the platform does meanwhile."""

    heeds: ClassVar[bool] = False

    def __init__(self, offsets_s: Iterable[float]) -> None:
        """:param offsets_s: ascending, one per order"""
        self._offsets: Iterator[float] = iter(offsets_s)
        self._next = next(self._offsets, 0.0)

    def due_in_s(self, elapsed_s: float, outstanding: int) -> float | None:
        return self._next - elapsed_s

    def sent(self) -> None:
        self._next = next(self._offsets, self._next)

    def adapt(self, now_s: float, *, slow_s: float | None, outstanding: int, shed: int) -> None:
        """The schedule is kept whatever happens."""


class Window:
    """
    As fast as the platform takes them: at most `size` orders are outstanding.

    Once the platform is saturated, the time in it is size / throughput (Little's law), so the size is moved in
    proportion to how far that time is from the wanted one.
    """

    heeds: ClassVar[bool] = True

    def __init__(self, size: float = FIRST_WINDOW) -> None:
        self.size = size
        self._shed = 0
        self._settled_at_s = 0.0

    def due_in_s(self, elapsed_s: float, outstanding: int) -> float | None:
        return 0.0 if outstanding < self.size else None

    def sent(self) -> None:
        """Nothing is kept: the count of outstanding orders says it all."""

    def adapt(self, now_s: float, *, slow_s: float | None, outstanding: int, shed: int) -> None:
        """Once in the time that orders take: what a change does is not seen before."""
        if slow_s is None or now_s < self._settled_at_s:
            return
        self.size = next_window(self.size, slow_s=slow_s, outstanding=outstanding, shed=shed > self._shed)
        self._shed = shed
        self._settled_at_s = now_s + slow_s


def next_window(size: float, *, slow_s: float, outstanding: int, shed: bool) -> float:
    """
    The window after a look at the orders that ended since the last one.

    :param slow_s: from sending to the end, of the slowest twentieth of them
    :param shed: whether the platform has turned orders away meanwhile
    """
    if shed:
        wanted = size * 0.5
    elif slow_s > WANTED_S:
        wanted = size * max(0.7, WANTED_S / slow_s)
    elif outstanding < size * 0.7:
        wanted = size  # it was not the window that held us back
    else:
        wanted = size * min(1.3, (WANTED_S / max(slow_s, 0.01)) ** 0.5)
    return min(max(wanted, LEAST_WINDOW), WIDEST_WINDOW)
