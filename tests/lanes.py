"""The API by either lane, asked in the same process by the same client: what one answers can be held to the other."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.test import Client

from web.hot_lane import HotLane

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BOTH = ("Flask", "hot lane")
BOUND_S = 20
PART = 64 * 1024


@contextmanager
def client_of(
    lane: HotLane, *, close: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> Iterator[Client]:
    """
    A client of the hot lane, as Flask's own `test_client`; what never ends it leaves once it has begun.

    :param close: what holds on to the event loop, at the end
    """
    with asyncio.Runner() as runner:
        yield Client(_Bridge(lane, runner))
        if close:
            runner.run(close())


class _Bridge:
    """An ASGI application as a WSGI one, all its requests on one event loop."""

    def __init__(self, lane: HotLane, runner: asyncio.Runner) -> None:
        self._lane, self._runner = lane, runner

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        begin, *parts = self._runner.run(asyncio.wait_for(self._ask(environ), BOUND_S))
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in begin["headers"]]
        start_response(f"{begin['status']} {HTTPStatus(begin['status']).phrase}", headers)
        return [part.get("body", b"") for part in parts]

    async def _ask(self, environ: "WSGIEnvironment") -> list[Any]:
        body, begun = environ["wsgi.input"].read(), asyncio.Event()
        parts = [body[at : at + PART] for at in range(0, max(len(body), 1), PART)]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if parts:
                return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
            await begun.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            begun.set()

        await self._lane(_scope(environ), receive, send)
        return sent


def _scope(environ: "WSGIEnvironment") -> dict[str, Any]:
    """The request as an ASGI server tells it."""
    fields = {name[5:]: value for name, value in environ.items() if name.startswith("HTTP_")}
    fields |= {name: environ[name] for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(name)}
    return {
        "type": "http",
        "method": environ["REQUEST_METHOD"],
        "scheme": "http",
        "http_version": environ["SERVER_PROTOCOL"].removeprefix("HTTP/"),
        "path": environ["PATH_INFO"].encode("latin-1").decode(errors="replace"),
        "query_string": environ["QUERY_STRING"].encode("latin-1"),
        "headers": [
            (name.lower().replace("_", "-").encode(), value.encode("latin-1"))
            for name, value in fields.items()
        ],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50_000),
    }
