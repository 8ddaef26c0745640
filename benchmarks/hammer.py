"""Any requests in a closed loop over raw kept-alive sockets, by one thread: for reads and batches."""

import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

_HEAD_ENDS = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(slots=True)
class Hammered:
    """What came of it; `took_s` ascending."""

    wall_s: float
    statuses: Counter[int]
    took_s: list[float]

    @property
    def per_s(self) -> float:
        return len(self.took_s) / self.wall_s


@dataclass(slots=True, eq=False)
class _Link:
    socket: socket.socket
    asked: object = None
    since: float = 0.0
    received: bytearray = field(default_factory=bytearray)


def hammer(
    port: int,
    ask: Callable[[], tuple[object, bytes]],
    *,
    seconds: float,
    connections: int,
    answered: Callable[[object, int, bytes, bytes], None] = lambda *_: None,
) -> Hammered:
    """
    Ask on every connection as soon as it is free.

    :param ask: a request, and what `answered` shall know it by
    :param answered: is told of that, the status, the head and the body of each answer
    """
    statuses: Counter[int] = Counter()
    took_s: list[float] = []
    with selectors.DefaultSelector() as selector:
        links = [_open(selector, port) for _ in range(connections)]
        began = time.monotonic()
        for link in links:
            _send(link, ask)
        end, waiting = began + seconds, connections
        while waiting:
            for key, _ in selector.select(1.0):
                link = key.data
                whole = _read(link)
                if whole is None:
                    continue
                status, head, body = whole
                took_s.append(time.monotonic() - link.since)
                statuses[status] += 1
                answered(link.asked, status, head, body)
                if time.monotonic() < end:
                    _send(link, ask)
                else:
                    waiting -= 1
        wall_s = time.monotonic() - began
        for link in links:
            link.socket.close()
    took_s.sort()
    return Hammered(wall_s, statuses, took_s)


def _open(selector: selectors.BaseSelector, port: int) -> _Link:
    link = _Link(socket.create_connection(("127.0.0.1", port)))
    link.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(link.socket, selectors.EVENT_READ, link)
    return link


def _send(link: _Link, ask: Callable[[], tuple[object, bytes]]) -> None:
    link.asked, request = ask()
    link.since = time.monotonic()
    link.received.clear()
    link.socket.sendall(request)


def _read(link: _Link) -> tuple[int, bytes, bytes] | None:
    """
    The answer, once it is complete.

    :raises ConnectionError: if the other side hangs up
    """
    piece = link.socket.recv(262_144)
    if not piece:
        raise ConnectionError("closed in the middle of an answer")
    link.received += piece
    ends = link.received.find(_HEAD_ENDS)
    if ends < 0:
        return None
    head = bytes(link.received[:ends])
    at = head.lower().find(_LENGTH)
    length = int(head[at + len(_LENGTH) :].partition(b"\r\n")[0]) if at >= 0 else 0
    begin = ends + len(_HEAD_ENDS)
    if len(link.received) < begin + length:
        return None
    return int(head[9:12]), head, bytes(link.received[begin : begin + length])
