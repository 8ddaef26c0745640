"""A sandbox in a process of its own, and the adapters that ask it."""

import http.client
import json
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine

from app.providers import registry
from app.providers.port import Request

PROVIDERS = (
    ("benefit", "payment", True),
    ("tab", "payment", False),
    ("kitchens", "restaurant", True),
    ("swift", "delivery", True),
    ("dhow", "delivery", False),
)
LINE_FIELDS = ("seq", "provider", "resource", "key", "order", "op", "at", "amount", "currency")


NOT_ASKED = create_engine("postgresql+psycopg2://127.0.0.1:1/none")  # nobody here limits his calls


class SandboxProcess:
    """Started by `start`, which returns once it listens."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        declared = [
            {
                "name": name,
                "kind": kind,
                "url": f"http://127.0.0.1:{self.port}/{name}",
                "bulk": bulk,
                "token": f"token-of-{name}",
            }
            for name, kind, bulk in PROVIDERS
        ]
        (home / "providers.json").write_text(json.dumps({"providers": declared}))
        self.process: subprocess.Popen[str] | None = None
        self.providers = registry.load(home / "providers.json", engine=NOT_ASKED)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "infra.sandbox", "--home", str(self.home), "--port", str(self.port)]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert "listening" in self.process.stdout.readline()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.reap()

    def reap(self) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(30)

    def ask(
        self, method: str, path: str, body: object = None, *, token: str | None = None, accept: str = "*/*"
    ) -> tuple[int, bytes]:
        """A request of the administration's, unless another token is given."""
        token = (self.home / "sandbox-token").read_text() if token is None else token
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {token}", "Accept": accept}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def tell(self, provider: str, behavior: str, **more: float) -> None:
        status, _ = self.ask("PUT", f"/_control/{provider}", {"behavior": behavior, **more})
        assert status == 200

    def untell(self, provider: str) -> None:
        assert self.ask("DELETE", f"/_control/{provider}")[0] == 200

    def lines(self, query: str = "") -> list[dict[str, object]]:
        status, body = self.ask("GET", f"/_ledger{query}")
        assert status == 200
        return [json.loads(line) for line in body.splitlines()]

    def ops(self, key: str) -> list[object]:
        return [line["op"] for line in self.lines() if line["key"] == key]


def wanted(key: str, *, customer: str = "c-1", not_after_s: float = 60) -> Request:
    """A request with every field that some resource wants; captures go to `ORDER:auth:1`, refunds to `capture`."""
    order = key.partition(":")[0]
    body = {
        "order": order,
        "customer": customer,
        "amount": "2.500",
        "currency": "BHD",
        "authorization": f"{order}:auth:1",
        "capture": f"{order}:capture:1",
        "restaurant": "r-1",
        "items": [{"sku": "tea", "quantity": 1}],
        "pickup": {"lat": 26.2, "lng": 50.6},
        "dropoff": {"lat": 26.3, "lng": 50.5},
    }
    return Request(key, datetime.now(UTC) + timedelta(seconds=not_after_s), body)
