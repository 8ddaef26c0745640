"""The consumer of docs/events.md, as it stands there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine as Database
from test_outbox import STREAM, relayed, written

from app.outbox.redis_stream import RedisStream
from app.outbox.relay import Relay

PAGE = Path(__file__).parents[3] / "docs" / "events.md"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "consumer.py"
    path.write_text(code)
    return path


def consume(program: Path, client: "redis.Redis[bytes]", lines: int) -> list[str]:
    """Run it until it has printed so many lines and noted them down, then kill it."""
    where: dict[str, Any] = client.connection_pool.connection_kwargs
    password = f":{where['password']}@" if where.get("password") else ""
    account = program.with_name("account.json")
    before = account.read_text() if account.exists() else ""
    url = f"redis://{password}{where['host']}:{where['port']}/{where['db']}"
    with subprocess.Popen(
        [sys.executable, str(program), url, str(account)], stdout=subprocess.PIPE, text=True
    ) as consumer:
        assert consumer.stdout
        told = [consumer.stdout.readline().strip() for _ in range(lines)]
        while not account.exists() or account.read_text() == before:
            assert consumer.poll() is None
        consumer.kill()
    return told


def test_it_sees_each_event_once_over_restarts_and_repetitions(
    db: Database, client: "redis.Redis[bytes]", program: Path
) -> None:
    relay = Relay(db, RedisStream(client), holder="one", look_every_s=0)
    relay.run_once()
    written(db, "a", "b")
    relayed(relay)
    first = consume(program, client, 2)
    entry: Any = client.xrange(STREAM)[0]
    client.xadd(STREAM, entry[1], id="2-1")  # published again
    written(db, "c")
    relayed(relay)

    second = consume(program, client, 1)

    assert first == ["a 1 order.accepted", "b 1 order.accepted"]
    assert second == ["c 1 order.accepted"]
