"""Flask behind the hot lane reads bodies from whatever awaitable the server gives."""

import asyncio
import json
from typing import Any

from fake_platform import OPERATOR, Platform

from web.app import create_app
from web.hot_lane import HotLane


def test_a_body_is_read_though_the_server_gives_futures(platform: Platform) -> None:
    sent: list[dict[str, Any]] = []
    body = json.dumps({"reason": "because"}).encode()

    async def ask() -> None:
        services = platform.services()
        lane = HotLane(create_app(services), services, lambda *_: None, threads=1, places=1)
        given = [{"type": "http.request", "body": body, "more_body": False}]

        def receive() -> "asyncio.Future[dict[str, Any]]":
            future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            if given:
                future.set_result(given.pop())
            return future

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await lane(_scope(len(body)), receive, send)

    asyncio.run(ask())

    assert sent[0]["status"] == 200
    assert len(platform.desk.asked) == 1


def _scope(length: int) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/ops/runs/some-run/retry",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            (b"authorization", f"Bearer {OPERATOR}".encode()),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % length),
        ],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
