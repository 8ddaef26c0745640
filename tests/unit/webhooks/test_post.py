"""What one POST makes of receivers that behave, and of those that do not."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import standardwebhooks

from app.webhooks import address, signature
from app.webhooks.post import Reply, post

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def posted(handler: Handler, *, timeout_s: float = 5.0) -> Reply:
    """Post to a receiver that does what the handler does."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.transport.abort()

    async def work() -> Reply:
        server = await asyncio.start_server(closing, "127.0.0.1")
        async with server:
            port = server.sockets[0].getsockname()[1]
            target = address.parse(f"http://127.0.0.1:{port}/hook?a=b", allowed=[f"127.0.0.1:{port}"])
            return await post(target, b'{"x":1}', {"webhook-id": "1"}, timeout_s=timeout_s)

    return asyncio.run(work())


def answering(answer: bytes, seen: list[bytes] | None = None) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b'{"x":1}')
        if seen is not None:
            seen.append(request)
        writer.write(answer)
        await writer.drain()
        await reader.read()

    return handle


def test_the_body_and_its_headers_arrive() -> None:
    seen: list[bytes] = []

    reply = posted(answering(b"HTTP/1.1 204 No Content\r\n\r\n", seen))

    assert (reply.taken, reply.status, reply.error) == (True, 204, None)
    head = seen[0].lower()
    assert head.startswith(b"post /hook?a=b http/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nwebhook-id: 1\r\n" in head


@pytest.mark.parametrize("status", [200, 202, 299])
def test_every_2xx_is_taken(status: int) -> None:
    assert posted(answering(f"HTTP/1.1 {status} Fine\r\nContent-Length: 0\r\n\r\n".encode())).taken


def test_a_redirect_is_a_failure_and_not_followed() -> None:
    reply = posted(answering(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n"))

    assert (reply.taken, reply.status, reply.error) == (False, 302, "redirects are not followed")


@pytest.mark.parametrize(
    ("header", "seconds"), [("120", 120.0), ("9999999", 86_400.0), ("-5", 0.0), ("nan", None), ("soon", None)]
)
def test_retry_after_is_read_within_reason(header: str, seconds: float | None) -> None:
    reply = posted(answering(f"HTTP/1.1 429 Slow Down\r\nRetry-After: {header}\r\n\r\n".encode()))

    assert (reply.status, reply.retry_after_s) == (429, seconds)


def test_silence_ends_with_the_time() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    reply = posted(silent, timeout_s=0.2)

    assert (reply.status, reply.error) == (None, "no answer within 0.2 s")


def test_one_who_drips_ends_with_the_time() -> None:
    async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"H")
            await asyncio.sleep(0.02)

    assert posted(dripping, timeout_s=0.3).status is None


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, b""])
def test_what_is_no_answer_is_a_failure(answer: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'{"x":1}')
        writer.write(answer)
        writer.close()
        await reader.read()

    reply = posted(handle)

    assert reply.status is None
    assert reply.error


def test_a_body_without_end_is_not_read() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'{"x":1}')
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                await writer.drain()

    reply = posted(endless)

    assert (reply.taken, reply.status, reply.error) == (True, 200, None)


def test_a_name_is_asked_for_once_and_what_was_found_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        leads_to = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (leads_to, port))]

    async def work() -> tuple[Reply, list[str]]:
        reached: list[str] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.append(writer.get_extra_info("sockname")[0])
            await reader.readuntil(b"{}")
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "0.0.0.0")  # noqa: S104 (both loopback addresses)
        async with server:
            port = server.sockets[0].getsockname()[1]
            monkeypatch.setattr(socket, "getaddrinfo", resolve)
            target = address.parse(f"http://hooks.example:{port}/", allowed=[f"hooks.example:{port}"])
            return await post(target, b"{}", {}), reached

    reply, reached = asyncio.run(work())

    assert (reply.status, reached, asked) == (204, ["127.0.0.1"], ["hooks.example"])


def test_nobody_there_is_a_failure() -> None:
    reply = asyncio.run(post(address.parse("http://127.0.0.1:1/", allowed=["127.0.0.1:1"]), b"", {}))

    assert reply.status is None
    assert reply.error
    assert reply.error.startswith("no connection")


def test_a_name_that_has_come_to_lead_inside_is_not_connected_to() -> None:
    reply = asyncio.run(post(address.parse("https://localhost/"), b"", {}))

    assert (reply.status, reply.error) == (None, "It is not on the public internet.")


def test_the_public_library_verifies_our_signature() -> None:
    old, new = signature.new_secret(), signature.new_secret()
    now = int(time.time())

    made = signature.headers("42", now, b'{"a":1}', keys=[new, old])

    for secret in (old, new):
        assert standardwebhooks.Webhook(secret).verify(b'{"a":1}', dict(made)) == {"a": 1}
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(signature.new_secret()).verify(b'{"a":1}', dict(made))
