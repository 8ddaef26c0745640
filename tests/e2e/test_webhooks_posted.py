"""From an order to a tenant's receiver, through the whole platform."""

import http.client
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from receivers import Receiver, receiver
from uoop_command import Uoop

ORDERS = 60


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture(scope="module")
def uoop(hook: Receiver, furnish: Callable[[Path], None]) -> Iterator[Uoop]:
    """A platform that may reach the receiver."""
    home = Path(tempfile.mkdtemp(prefix="uoop-e2e-")).resolve()
    furnish(home)
    command = Uoop(home, UOOP_WEBHOOK_ALLOWED=f"127.0.0.1:{hook.port}")
    yield command
    stopped = command("down")
    shutil.rmtree(home)
    assert stopped.returncode == 0, stopped.stderr


def post(uoop: Uoop, path: str, body: dict[str, Any]) -> dict[str, Any]:
    port = next(one["port"] for one in json.loads(uoop("ps", "--json").stdout) if one["name"] == "api")
    key = (uoop.home / "api-key").read_text().strip()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        told: dict[str, Any] = json.loads(answer.read())
    assert answer.status < 300, told
    return told


def test_every_confirmed_order_is_told_and_signed(
    running: Uoop, hook: Receiver, eventually: Callable[..., object]
):
    webhook = post(running, "/v1/webhooks", {"url": hook.url, "types": ["order.confirmed"]})
    tested = post(running, f"/v1/webhooks/{webhook['id']}/test", {})
    assert (tested["taken"], len(hook.got)) == (True, 1)
    hook.got.clear()

    played = running("demo", "--orders", str(ORDERS), "--json")

    assert played.returncode == 0, played.stdout + played.stderr
    assert json.loads(played.stdout.splitlines()[-1])["confirmed"] == ORDERS
    eventually(lambda: len({sent.event["subject"] for sent in hook.got}) >= ORDERS)
    library = standardwebhooks.Webhook(webhook["secret"])
    told = [library.verify(sent.body, sent.headers) for sent in hook.got]
    assert {event["type"] for event in told} == {"order.confirmed"}
    assert len({event["id"] for event in told}) == ORDERS
