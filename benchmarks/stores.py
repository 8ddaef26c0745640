"""What parts of the platform run on, each in a folder of its own: servers alone, a Kafka cluster."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from infra import bootstrap
from infra.embedded import postgres
from infra.embedded import redis as embedded_redis
from infra.settings import Settings

READY_WITHIN_S = 30.0


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """Removed at the end."""
    made = Path(tempfile.mkdtemp(prefix=f"uoop-{name}-")).resolve()
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def started(name: str) -> Iterator[Settings]:
    """Postgres with all its tables, and Redis."""
    with folder(name) as home, ExitStack() as servers:
        database_server, redis_server = postgres.prepare(home), embedded_redis.prepare(home)
        servers.enter_context(process(database_server.command, home / "postgres.log", signal.SIGINT))
        servers.enter_context(process(redis_server.command, home / "redis.log", signal.SIGTERM))
        postgres.wait_ready(database_server.url, 60)
        embedded_redis.wait_ready(redis_server.url, 60)
        urls = {"database_url": database_server.url, "redis_url": redis_server.url}
        settings = Settings.load().with_values(home=home, sandbox_port=1, **urls)
        bootstrap.prepare(settings)
        yield settings


@contextmanager
def process(
    command: tuple[str, ...], log: Path, stop: signal.Signals, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process beside this one, in its environment or the one given, stopped at the end by the signal."""
    with log.open("wb") as file:
        beside = subprocess.Popen(command, stdout=file, stderr=file, env=env, start_new_session=True)
    try:
        yield beside
    finally:
        beside.send_signal(stop)
        beside.wait(60)


@contextmanager
def kafka_cluster(home: Path) -> Iterator[str]:
    """
    librdkafka's mock of a Kafka cluster of three, in a process of its own: it keeps about 5 MB of a partition.

    :return: its addresses
    """
    told = home / "brokers"
    command = (sys.executable, "-m", "benchmarks.mock_kafka", str(told))
    with process(command, home / "kafka.log", signal.SIGTERM):
        yield awaited(told)


def awaited(told: Path) -> str:
    """
    What a process writes into a file once it is ready.

    :raises TimeoutError: if it does not within half a minute
    """
    until(told.exists)
    return told.read_text()


def until(holds: Callable[[], bool]) -> None:
    """
    Wait for it.

    :raises TimeoutError: if it does not come about within half a minute
    """
    end = time.monotonic() + READY_WITHIN_S
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("what was waited for did not come about; see the logs")
        time.sleep(0.05)
