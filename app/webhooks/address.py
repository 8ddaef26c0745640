"""
Where a webhook may go: to the public internet over TLS, and nowhere inside.

The name is resolved once and the connection made to what was found and checked, so that a name that changes its
mind meanwhile gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

from app import errors

PORTS = frozenset({443, 8443})
MAX_LENGTH = 2048
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(errors.Rejected):
    """Webhooks do not go there."""

    code = "webhook-address-refused"

    def __init__(self, detail: str) -> None:
        super().__init__(detail=detail)


@dataclass(frozen=True, slots=True)
class Target:
    """
    A checked URL, not yet resolved.

    :param path: with its query, as it is requested
    :param allowed: an operator named this host and port: it may be inside, and without TLS
    """

    host: str
    port: int
    path: str
    tls: bool
    allowed: bool

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def parse(url: str, *, allowed: Collection[str] = ()) -> Target:
    """
    Check all that can be checked without asking a resolver.

    :param allowed: `host:port` of receivers for development, which may be anywhere and need no TLS
    :raises AddressRefused:
    """
    if len(url) > MAX_LENGTH or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused("It must be an ASCII URL of at most 2,048 characters, without spaces.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("It is not a URL.") from None
    target = _target(parts, port, allowed)
    if target.allowed:
        return target
    if not target.tls:
        raise AddressRefused("It must begin with https://.")
    if target.port not in PORTS:
        raise AddressRefused("Its port must be 443 or 8443.")
    literal = _literal(target.host)
    if literal is not None and not is_public(literal):
        raise AddressRefused("It is not on the public internet.")
    return target


async def resolve(target: Target) -> str:
    """
    One address to connect to.

    :raises AddressRefused: if any of the name's addresses is not public: such a name is not to be trusted at all
    :raises OSError: if it cannot be resolved
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise OSError("the name has no address")
    if not target.allowed and not all(
        is_public(ipaddress.ip_address(a.partition("%")[0])) for a in addresses
    ):
        raise AddressRefused("It is not on the public internet.")
    return addresses[0]


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address, and what may be wrapped in it, is anybody's on the internet."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return True
    wrapped = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        wrapped.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return all(each is None or is_public(each) for each in wrapped)


def _target(parts: SplitResult, port: int | None, allowed: Collection[str]) -> Target:
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise AddressRefused("It must begin with https:// and name a host.")
    if "@" in parts.netloc:
        raise AddressRefused("It must not hold a name or a password.")
    if parts.fragment:
        raise AddressRefused("It must not have a fragment.")
    host = parts.hostname.rstrip(".").lower()
    tls = parts.scheme == "https"
    port = port if port is not None else (443 if tls else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host, port, path, tls, f"{host}:{port}" in allowed)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that the host is, in whatever notation the system's resolver understands."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f000001, 2130706433, 0177.0.0.1
    except OSError:
        return None
