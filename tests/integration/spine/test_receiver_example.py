"""The receiver of docs/webhooks.md, as it stands there."""

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from test_webhooks import Post

from app.webhooks.model import DeliveryState, Replay

PAGE = Path(__file__).parents[3] / "docs" / "webhooks.md"
READY_WITHIN_S = 30


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "receiver.py"
    path.write_text(code)
    return path


@contextmanager
def serving(program: Path, secret: str, port: int) -> Iterator["subprocess.Popen[str]"]:
    environment = os.environ | {"WEBHOOK_SECRET": secret, "PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, str(program)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as receiver:
        try:
            end = time.monotonic() + READY_WITHIN_S
            while not is_open(port):
                assert receiver.poll() is None
                assert time.monotonic() < end
            yield receiver
        finally:
            receiver.kill()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_does_each_events_work_once_and_refuses_what_is_not_signed(db: Database, program: Path) -> None:
    post, port = Post(db), free_port()
    post.allowed.add(f"127.0.0.1:{port}")
    webhook = post.desk.create(
        "default", url=f"http://127.0.0.1:{port}/", types=("order.accepted",), description=None
    )
    with serving(program, webhook.secret, port) as receiver:
        post.written("a")
        post.sender().run()
        post.desk.replay("default", webhook.id, Replay(after=0))
        post.written("b")
        post.sender().run()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as forger:
            forger.request("POST", "/", b'{"id":"1"}', {"webhook-id": "1"})
            forged = forger.getresponse().status
        assert receiver.stdout
        told = [receiver.stdout.readline().strip() for _ in range(2)]

        assert told == ["a 1 order.accepted", "b 1 order.accepted"]
        assert {state for _, state, _ in post.log(webhook)} == {DeliveryState.DELIVERED}
        assert forged == 400
