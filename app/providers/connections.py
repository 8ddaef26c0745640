"""
Kept-alive HTTP/1.1 connections to one address, with a true deadline on every exchange.

A socket timeout bounds one `recv`: a server which sends a byte a second is waited for without end. Here the
time that remains is set before each `recv`, headers included. (Name resolution keeps the resolver's bounds.)
"""

from __future__ import annotations

import io
import os
import select
import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from typing_extensions import Buffer

BODY_CAP_BYTES = 8 * 1024 * 1024
IDLE_KEPT = 8


class ExchangeError(Exception):
    """No whole answer came; unless `sent`, no byte of the request left and it surely had no effect."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Connections:
    """The connections to `url`'s host; thread-safe, and a forked child starts with none of its parent's."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._address = (self._host, parts.port or (443 if self._tls else 80))
        self._idle: deque[_Connection] = deque()
        self._owner_pid = os.getpid()

    def exchange(self, request: bytes, method: str, *, deadline: float) -> tuple[int, bytes]:
        """
        Send a whole request and read the answer's status and body.

        A kept-alive connection that turns out closed is replaced once, so a request may arrive twice.

        :param deadline: on the clock of `time.monotonic`
        :raises ExchangeError: if nobody can be reached, or the answer is late, cut short, too big or not HTTP
        """
        sent = False
        try:
            _remaining_s(deadline)
            kept = self._take()
            if kept is not None:
                sent = True
                with suppress(ConnectionError):
                    return self._use(kept, request, method, deadline)
            fresh = self._open(deadline)
            sent = True
            return self._use(fresh, request, method, deadline)
        except (OSError, HTTPException) as error:
            raise ExchangeError(_in_words(error), sent=sent) from error

    def close(self) -> None:
        """Close what is idle; what is in use closes when its exchange ends."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> _Connection | None:
        if self._owner_pid != os.getpid():
            self._idle, self._owner_pid = deque(), os.getpid()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.is_quiet():
                return connection
            connection.close()

    def _open(self, deadline: float) -> _Connection:
        raw = socket.create_connection(self._address, timeout=_remaining_s(deadline))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return _Connection(raw)
        try:
            raw.settimeout(_remaining_s(deadline))
            return _Connection(self._tls.wrap_socket(raw, server_hostname=self._host))
        except BaseException:
            raw.close()
            raise

    def _use(
        self, connection: _Connection, request: bytes, method: str, deadline: float
    ) -> tuple[int, bytes]:
        reusable = False
        try:
            status, body, reusable = connection.exchange(request, method, deadline)
        finally:
            if reusable and len(self._idle) < IDLE_KEPT:
                self._idle.append(connection)
            else:
                connection.close()
        return status, body


class _Connection:
    """One socket, and the poll that tells whether the other side has hung up meanwhile."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def is_quiet(self) -> bool:
        """Whether nothing came since the last answer: bytes or an end would belong to no request."""
        return not self._poll.poll(0)

    def exchange(self, request: bytes, method: str, deadline: float) -> tuple[int, bytes, bool]:
        self._sock.settimeout(_remaining_s(deadline))
        self._sock.sendall(request)  # bounded as a whole by the timeout, unlike recv
        response = HTTPResponse(cast("socket.socket", _Reading(self._sock, deadline)), method=method)
        try:
            response.begin()
            body = _read(response)
            return response.status, body, response.isclosed() and not response.will_close
        finally:
            response.close()

    def close(self) -> None:
        self._sock.close()


class _Reading(io.RawIOBase):
    """A socket as http.client wants to read it, each `recv` bounded by the time that remains."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, 64 * 1024)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        self._sock.settimeout(_remaining_s(self._deadline))
        return self._sock.recv_into(buffer)


def _read(response: HTTPResponse) -> bytes:
    if response.length is not None and response.length > BODY_CAP_BYTES:
        raise HTTPException("answer too large")
    body = response.read() if response.length is not None else response.read(BODY_CAP_BYTES + 1)
    if len(body) > BODY_CAP_BYTES:
        raise HTTPException("answer too large")
    return body


def _remaining_s(deadline: float) -> float:
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise TimeoutError("timed out")
    return remaining_s


def _in_words(error: BaseException) -> str:
    """One line without addresses, fit for a step log."""
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(
        error
    ).__name__
