"""
Serve the sandbox until it is told to end.

    python -m infra.sandbox --home .uoop --port 0 --providers .uoop/providers.json
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import secrets
import signal
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

from app.providers import registry
from infra.sandbox.http import HttpProtocol
from infra.sandbox.ledger import Ledger
from infra.sandbox.service import Service


def main() -> int:
    """Exit status 0 after a signal, 2 with one line when the sandbox cannot start."""
    arguments = _arguments()
    home: Path = arguments.home.resolve()
    try:
        configs = registry.read(arguments.providers or home / "providers.json")
        (home / "sandbox").mkdir(parents=True, exist_ok=True, mode=0o700)
        ledger = Ledger(home / "sandbox" / "ledger.db")
        service = Service(ledger, configs, _admin_token(home / "sandbox-token"), lambda: datetime.now(UTC))
        asyncio.run(_serve(service, arguments.host, arguments.port, home / "sandbox" / "port"))
    except (registry.ProvidersFileError, sqlite3.OperationalError, OSError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 2
    ledger.close()
    return 0


async def _serve(service: Service, host: str, port: int, port_file: Path) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    connections = set[HttpProtocol]()
    server = await loop.create_server(
        lambda: HttpProtocol(service.handle, connections), host, port, backlog=1024
    )
    bound_port = server.sockets[0].getsockname()[1]
    _write_whole(port_file, str(bound_port))
    gc.freeze()  # what lives until the end need not be looked at again
    sys.stdout.write(f"sandbox listening on {host}:{bound_port}\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()
    for connection in list(connections):
        connection.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.sandbox", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder for ledger, port and token")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one, written to HOME/sandbox/port")
    parser.add_argument("--providers", type=Path, help="providers file; default HOME/providers.json")
    return parser.parse_args()


def _admin_token(path: Path) -> str:
    """The token in `path`, made at the first start."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return path.read_text().strip()


def _write_whole(path: Path, text: str) -> None:
    """Readers see the old text or the new, never a part."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
