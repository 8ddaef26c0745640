"""Small values that are made once and kept in UOOP_HOME: passwords and ports."""

import json
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_768)  # below the range from which outgoing connections take theirs


def folder(path: Path) -> Path:
    """Make the folder, closed to others."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write(path: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner alone."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def secret(path: Path) -> str:
    """The secret in the file (URL-safe, 43 characters), made when there is none."""
    with suppress(FileNotFoundError):
        if kept := path.read_text().strip():
            return kept
    made = secrets.token_urlsafe(32)
    write(path, made + "\n")
    return made


def ports(home: Path) -> dict[str, int]:
    """The ports chosen so far, by process name."""
    try:
        told = json.loads(_ports_file(home).read_text())
        return {str(name): int(number) for name, number in told.items()}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {}


def port(home: Path, name: str) -> int:
    """
    The process's loopback port, chosen once, so that a restart has the same address.

    A port that somebody else has taken meanwhile is replaced. Only for the one who is about to start the
    process: everybody else reads :func:`ports`.
    """
    chosen = ports(home)
    if name in chosen and is_free(chosen[name]):
        return chosen[name]
    others = set(chosen.values())
    chosen[name] = next(
        number
        for number in iter(lambda: secrets.choice(_PORTS), None)
        if number not in others and is_free(number)
    )
    write(_ports_file(home), json.dumps(chosen) + "\n")
    return chosen[name]


def is_free(number: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on this port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, number))
        except OSError:
            return False
    return True


def _ports_file(home: Path) -> Path:
    return home / "ports.json"
