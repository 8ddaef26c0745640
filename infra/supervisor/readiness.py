"""
Checks that a process does its work: it answers on loopback, or has said so in a file of its name.

Each looks once, for a bounded time, and never raises.
"""

import http.client
import os
import socket
from contextlib import suppress
from pathlib import Path

from infra import kept
from infra.supervisor import remains


def port_open(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def http_ok(host: str, port: int, path: str) -> bool:
    """Whether a GET answers 200 within 3 seconds."""
    connection = http.client.HTTPConnection(host, port, timeout=3)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def say_ready() -> None:
    """Say that this process has begun its work; nobody hears it but the supervisor that started it, if one did."""
    marks = os.environ.get(remains.HOME_MARK), os.environ.get(remains.NAME_MARK)
    if all(marks):
        home, name = marks
        with suppress(OSError):
            kept.write(kept.folder(Path(str(home)) / "ready") / str(name), f"{os.getpid()}\n")


def said_ready(home: Path, name: str) -> bool:
    """Whether the process has said so since it was started."""
    return (home / "ready" / name).exists()


def unsay_ready(home: Path, name: str) -> None:
    """Forget what an earlier process of that name said."""
    (home / "ready" / name).unlink(missing_ok=True)
