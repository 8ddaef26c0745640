"""Where webhooks go, and where they never do."""

import asyncio
import socket
from typing import Any

import pytest

from app.webhooks import address
from app.webhooks.address import AddressRefused, Target

INSIDE = [
    *("127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1."),
    *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.0", "255.255.255.255"),  # noqa: S104
    *("224.0.0.1", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
    *("[::1]", "[::]", "[fe80::1]", "[fe80::1%25eth0]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]"),
    *(
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
    ),
    "[2001:0:7f00:1:0:0:0:0]",
]
ODD = [
    "http://example.com/hook",
    "ftp://example.com/",
    "gopher://example.com:443/",
    "file:///etc/passwd",
    "//example.com/hook",
    "example.com/hook",
    "https://",
    "https:///hook",
    "https://user:secret@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com/#fragment",
    "https://example.com:22/",
    "https://example.com:6379/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:x/",
    "https://exa mple.com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/\r\nX: y",
    "https://exämple.com/",
    "https://example.com/" + "x" * 2048,
    "",
]


@pytest.mark.parametrize("host", INSIDE)
def test_no_notation_of_an_inside_address_is_taken(host: str) -> None:
    with pytest.raises(AddressRefused):
        address.parse(f"https://{host}/hook")


@pytest.mark.parametrize("url", ODD)
def test_odd_urls_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        address.parse(url)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("example.com", 443, "/", tls=True, allowed=False)),
        ("https://Example.com.:8443/a?b=c", Target("example.com", 8443, "/a?b=c", tls=True, allowed=False)),
        ("https://8.8.8.8/", Target("8.8.8.8", 443, "/", tls=True, allowed=False)),
        ("https://[2606:4700::1111]/", Target("2606:4700::1111", 443, "/", tls=True, allowed=False)),
    ],
)
def test_public_addresses_are_taken(url: str, target: Target) -> None:
    assert address.parse(url) == target


def test_a_receiver_that_an_operator_named_may_be_inside() -> None:
    target = address.parse("http://127.0.0.1:9000/hook", allowed=["127.0.0.1:9000"])

    assert (target.allowed, target.tls, target.authority) == (True, False, "127.0.0.1:9000")
    with pytest.raises(AddressRefused):
        address.parse("http://127.0.0.1:9001/hook", allowed=["127.0.0.1:9000"])


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], ["fe80::1%eth0"]])
def test_a_name_that_leads_inside_is_refused(answers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AddressRefused):
        resolved(answers, monkeypatch)


def test_a_public_name_is_resolved_to_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved(["8.8.8.8", "8.8.4.4"], monkeypatch) == "8.8.8.8"


def resolved(answers: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    async def work() -> str:
        async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, 443)) for answer in answers]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        return await address.resolve(address.parse("https://example.com/"))

    return asyncio.run(work())
