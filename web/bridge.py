"""Flask as an ASGI application, which begins and ends with its server."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask
from werkzeug.exceptions import ClientDisconnected

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def _nobody() -> None:
    pass


class Bridge:
    """An ASGI application."""

    def __init__(
        self, app: Flask, *, threads: int, stop_s: float, leave: Callable[[], None] = _nobody
    ) -> None:
        """
        :param threads: for the requests that Flask answers
        :param stop_s: time that a stop may take; what does not end by then does not keep the process
        :param leave: called at the begin of a stop
        """
        self._app: Any = WSGIMiddleware(_ended(app), workers=threads)
        self._stop_s, self._leave = stop_s, leave
        self._is_stopping = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._app(scope, _whole(receive), send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _stop(self) -> None:
        """The server tells us of its stop only after the last answer: until then long polls would last."""
        if self._is_stopping:
            return  # told twice, the server would break off what it answers
        self._is_stopping = True
        end = threading.Timer(self._stop_s, os._exit, (os.EX_TEMPFAIL,))
        end.daemon = True
        end.start()
        self._leave()
        signal.raise_signal(signal.SIGINT)  # by which the server stops as well, with its own handler


def _ended(app: Flask) -> Any:
    """The server knows where a body ends, of chunks too, which Flask would else take for none."""

    def wsgi(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        environ["wsgi.input_terminated"] = True
        return app(environ, start)

    return wsgi


def _whole(receive: Receive) -> Receive:
    """Only of a whole body does Flask hear the end."""

    async def received() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected()
        return message

    return received
