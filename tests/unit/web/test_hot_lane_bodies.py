"""Bodies as servers give them: in whatever awaitable, without a length, and without an end."""

import asyncio
import json
from typing import Any

import pytest
from fake_platform import OPERATOR, TOKEN, Platform
from test_hot_lane import hot_lane

from web.app import create_app
from web.bridge import Bridge
from web.description import examples
from web.hot_lane import HotLane


def test_a_body_is_read_though_the_server_gives_futures(platform: Platform) -> None:
    sent: list[dict[str, Any]] = []
    body = json.dumps({"reason": "because"}).encode()

    async def ask() -> None:
        services = platform.services()
        lane = HotLane(create_app(services), services, lambda *_: None, threads=1, places=1, stop_s=1)
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


@pytest.mark.parametrize("is_hot", [True, False])
@pytest.mark.parametrize("length", [b"10000", None])
def test_a_body_that_does_not_come_to_its_end_is_no_order(
    platform: Platform, is_hot: bool, length: bytes | None
) -> None:
    flask_alone = Bridge(create_app(platform.services()), threads=1, stop_s=1)
    served = hot_lane(platform) if is_hot else flask_alone
    given = [
        {"type": "http.request", "body": json.dumps(examples.ORDER).encode(), "more_body": True},
        {"type": "http.disconnect"},
    ]
    framed = (b"content-length", length) if length else (b"transfer-encoding", b"chunked")
    headers = [
        (b"host", b"localhost"),
        (b"authorization", f"Bearer {TOKEN}".encode()),
        (b"content-type", b"application/json"),
        (b"idempotency-key", b"k"),
        framed,
    ]
    scope = {**_scope(0), "path": "/v1/orders", "headers": headers}
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return given.pop(0)

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    asyncio.run(served(scope, receive, send))

    assert platform.accepted == []
    assert [each["status"] for each in told if "status" in each] in ([], [400])


@pytest.mark.parametrize("parts", [1, 3])
def test_flask_reads_a_body_without_a_length(platform: Platform, parts: int) -> None:
    bridge = Bridge(create_app(platform.services()), threads=1, stop_s=1)
    body = json.dumps({"reason": "because"}).encode()
    size = -(-len(body) // parts)
    given = [body[at : at + size] for at in range(0, len(body), size)]
    scope = _scope(0)
    scope["headers"][-1] = (b"transfer-encoding", b"chunked")
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": given.pop(0), "more_body": bool(given)}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    asyncio.run(bridge(scope, receive, send))

    assert told[0]["status"] == 200
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
