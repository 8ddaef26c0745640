"""An open loop: every order is sent at its moment, once, whatever the platform does; one thread, raw sockets."""

import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from infra.demo import wire

CONNECTIONS = 256


@dataclass(slots=True)
class Sent:
    """
    What has come of it.

    :param behind_s: the most that an order was sent after its moment: more than a little means that we were the load
    :param unsent: orders for which there was no free connection within a second
    """

    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    unsent: int = 0
    behind_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Link:
    socket: socket.socket
    received: bytes = b""


class OpenLoop:
    """Sends what it is given at a fixed rate."""

    def __init__(self, host: str, port: int, token: str, *, connections: int = CONNECTIONS) -> None:
        self._address, self._head = (host, port), wire.head(host, port, token)
        self._selector = selectors.DefaultSelector()
        self._idle = deque(self._link() for _ in range(connections))
        self._busy = 0

    def run(self, bodies: Iterator[bytes], *, rate: float, seconds: float, name: str) -> Sent:
        """
        Send until the time is over, and wait until all is answered, 15 s at most.

        :param name: of this run: keys begin with it
        """
        told, count = Sent(), round(rate * seconds)
        began, cpu_began = time.monotonic(), time.thread_time()
        n = 0
        while n < count or (self._busy and time.monotonic() < began + seconds + 15):
            elapsed = time.monotonic() - began
            while n < count and n / rate <= elapsed and self._idle:
                told.behind_s = max(told.behind_s, elapsed - n / rate)
                self._send(wire.request(self._head, f"{name}-{n}", next(bodies)), told)
                n += 1
            while n < count and not self._idle and elapsed - n / rate > 1.0:
                told.unsent += 1
                n += 1
            for key, _ in self._selector.select(0.001 if n < count else 0.05):
                self._read(key.data, told)
        told.cpu_s = time.thread_time() - cpu_began
        return told

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()

    def _link(self) -> _Link:
        link = _Link(socket.create_connection(self._address, 5))
        link.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.socket.setblocking(False)
        self._selector.register(link.socket, selectors.EVENT_READ, link)
        return link

    def _send(self, request: bytes, told: Sent) -> None:
        link = self._idle.popleft()
        self._busy += 1
        try:
            link.socket.send(request)
        except OSError:
            self._lose(link, told)

    def _read(self, link: _Link, told: Sent) -> None:
        try:
            piece = link.socket.recv(65_536)
            link.received += piece
            answer = wire.answer(link.received) if piece else None
        except BlockingIOError:
            return
        except (OSError, wire.NotHttp):
            self._lose(link, told)
            return
        if not piece:
            self._lose(link, told)
        elif answer:
            told.statuses[answer.status] += 1
            link.received = b""
            self._busy -= 1
            self._idle.append(link)

    def _lose(self, link: _Link, told: Sent) -> None:
        told.lost += 1
        self._busy -= 1
        self._selector.unregister(link.socket)
        link.socket.close()
        self._idle.append(self._link())
