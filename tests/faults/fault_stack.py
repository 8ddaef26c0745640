"""The platform under test: real processes on a home of their own, and handles on each of them."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis

from infra import running, stack
from infra.settings import Settings

BOUND_S = 60.0
PROVIDERS = ("benefit", "kitchens", "swift", "falcon", "dhow")
WORKERS = tuple(stack.WORKERS)
QUEUES = tuple(queue for queue, _ in stack.WORKERS.values())


class NotReached(Exception):
    """What a fault needs did not happen within its bound."""


@dataclass(frozen=True)
class Stack:
    """A running platform. Every handle is made anew: what it points at is killed all the time."""

    settings: Settings

    def pid(self, name: str) -> int:
        return int(awaited(lambda: self._now(name), name))

    def _now(self, name: str) -> int | None:
        return next((row.pid for row in running.rows(self.settings) if row.name == name), None)

    def family(self, name: str) -> list[psutil.Process]:
        """The process and all that it has started, itself first."""
        leader = psutil.Process(self.pid(name))
        return [leader, *leader.children(recursive=True)]

    def pool(self, worker: str) -> list[psutil.Process]:
        """A worker's pool children."""
        return list(awaited(lambda: psutil.Process(self.pid(worker)).children(), f"a pool of {worker}"))

    def redis(self, role: str = "broker") -> "redis.Redis":
        url = getattr(self.settings, f"{role}_url").get_secret_value()
        return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement in a session of its own."""
        with self.session() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description else []

    @contextmanager
    def session(self) -> Iterator[Any]:
        url = self.settings.database_url.get_secret_value().replace("+psycopg2", "", 1)
        connection = psycopg2.connect(url, connect_timeout=5)
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def tell_providers(self, names: Sequence[str], behavior: dict[str, object] | None) -> None:
        """Make providers misbehave; None makes them behave."""
        port = int((self.settings.home / "sandbox" / "port").read_text())
        token = (self.settings.home / "sandbox-token").read_text().strip()
        for name in names:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            method, body = ("PUT", json.dumps(behavior)) if behavior else ("DELETE", None)
            connection.request(method, f"/_control/{name}", body, headers)
            assert connection.getresponse().status == 200
            connection.close()

    @contextmanager
    def beside(self, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
        """One more process of the platform, beside those of the supervisor, for a while."""
        env = stack.bare_environment() | self.settings.environment()
        env["PROMETHEUS_MULTIPROC_DIR"] = str(self.settings.home / "metrics")
        with (self.settings.home / "logs" / "beside.log").open("ab") as log:
            process = subprocess.Popen(
                (sys.executable, "-m", *command), env=env, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield process
        finally:
            family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()


@contextmanager
def started(**values: object) -> Iterator[Stack]:
    """The platform on a home of its own; stopped and removed at the end, kept if UOOP could not be stopped."""
    home = Path(tempfile.mkdtemp(prefix="faults-")).resolve()
    chosen = Settings.load().with_values(home=home, port=0, flower=False, crash_points=True, **values)
    try:
        command = (sys.executable, "-m", "infra.cli", "up", "--detach")
        subprocess.run(command, env=stack.bare_environment() | chosen.environment(), check=True)
        yield Stack(running.connected(chosen))
    finally:
        running.down(chosen)
        kept = os.environ.get("KEEP_FAULT_LOGS")
        if kept:
            shutil.copytree(home / "logs", kept, dirs_exist_ok=True)
        shutil.rmtree(home)


def awaited(condition: Callable[[], Any], what: str, within_s: float = BOUND_S) -> Any:
    """What the condition gives once it is not empty; may raise while processes and stores come and go."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with suppress(psutil.Error, psycopg2.Error, redis.RedisError, OSError):
            if found := condition():
                return found
        time.sleep(0.02)
    raise NotReached(f"{what} did not come within {within_s:.0f} s")
