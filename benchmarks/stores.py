"""Embedded servers in a folder of their own, for benchmarks that need no running platform."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from infra import bootstrap
from infra.embedded import postgres
from infra.embedded import redis as embedded_redis
from infra.settings import Settings


@contextmanager
def started(name: str) -> Iterator[Settings]:
    """Postgres with all its tables, and Redis; stopped and removed at the end."""
    home = Path(tempfile.mkdtemp(prefix=f"uoop-{name}-")).resolve()
    try:
        with ExitStack() as running:
            database_server, redis_server = postgres.prepare(home), embedded_redis.prepare(home)
            running.enter_context(process(database_server.command, home / "postgres.log", signal.SIGINT))
            running.enter_context(process(redis_server.command, home / "redis.log", signal.SIGTERM))
            postgres.wait_ready(database_server.url, 60)
            embedded_redis.wait_ready(redis_server.url, 60)
            settings = Settings(
                home=home, database_url=database_server.url, redis_url=redis_server.url, sandbox_port=1
            )
            bootstrap.prepare(settings)
            yield settings
    finally:
        shutil.rmtree(home)


@contextmanager
def process(command: tuple[str, ...], log: Path, stop: signal.Signals) -> Iterator["subprocess.Popen[bytes]"]:
    """A process beside this one, stopped at the end by the signal."""
    with log.open("wb") as file:
        running = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    try:
        yield running
    finally:
        running.send_signal(stop)
        running.wait(60)


@contextmanager
def kafka_cluster(home: Path) -> Iterator[str]:
    """
    librdkafka's mock of a Kafka cluster of three, in a process of its own: it keeps about 5 MB of a partition.

    :return: its addresses
    """
    told = home / "brokers"
    command = (sys.executable, "-m", "benchmarks.mock_kafka", str(told))
    with process(command, home / "kafka.log", signal.SIGTERM) as cluster:
        while not told.exists():
            if cluster.poll() is not None:
                raise RuntimeError((home / "kafka.log").read_text())
            time.sleep(0.05)
        yield told.read_text()
