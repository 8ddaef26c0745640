"""Peers on a socket, for what the sandbox is too well-behaved to do."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from app.providers.http import HttpProvider
from app.providers.port import Kind


@contextmanager
def peer(serve: Callable[[socket.socket], None]) -> Iterator[HttpProvider]:
    """A bulk provider whose every accepted connection is given to `serve`."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections = list[socket.socket]()

    def accept() -> None:
        with suppress(OSError):  # the listener is closed at the end
            while True:
                connections.append(listener.accept()[0])
                threading.Thread(target=_quietly, args=(serve, connections[-1]), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    port = listener.getsockname()[1]
    provider = HttpProvider(
        name="odd", kind=Kind.DELIVERY, url=f"http://127.0.0.1:{port}/odd", bulk=True, token="hush"
    )
    try:
        yield provider
    finally:
        provider.close()
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        listener.close()
        for connection in connections:
            connection.close()


def _quietly(serve: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with suppress(OSError):
        serve(connection)


def answering(
    body: bytes, asked: list[bytes] | None = None, *, status: int = 200
) -> Callable[[socket.socket], None]:
    """A peer that answers each request so, and notes it."""

    def serve(connection: socket.socket) -> None:
        while request := connection.recv(65536):
            if asked is not None:
                asked.append(request)
            connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    return serve
