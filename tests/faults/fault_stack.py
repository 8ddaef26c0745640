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
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis
from fault_proxy import Proxy

from infra import kept, running, stack
from infra.demo import city
from infra.embedded import postgres
from infra.embedded import redis as embedded_redis
from infra.sandbox_providers import write_providers
from infra.settings import Settings
from infra.supervisor import state

BOUND_S = 60.0
PROVIDERS = ("benefit", "kitchens", "swift", "falcon", "dhow")
WORKERS = tuple(stack.WORKERS)
QUEUES = tuple(queue for queue, _ in stack.WORKERS.values())
CLOCKS = Path(__file__).parent / "clocks"
SMALL_DISK_MB = 256
_ON_SMALL_DISK = f'mount -t tmpfs -o size={SMALL_DISK_MB}m tmpfs "$0" && exec "$@"'


class Place(Enum):
    """What the platform runs on."""

    PLAIN = auto()
    PROXIED = auto()  # Postgres, Redis, its role as a sink of events, and the sandbox each behind a proxy
    SMALL_DISK = auto()  # Postgres' data on a disk of its own, in a mount namespace of its own


class NotReached(Exception):
    """What a fault needs did not happen within its bound."""


@dataclass(frozen=True)
class Stack:
    """A running platform. Every handle is made anew: what it points at is killed all the time."""

    settings: Settings
    given: Settings
    proxies: dict[str, Proxy] = field(default_factory=dict)

    def up(self, *inside: str) -> None:
        """Start the platform, or start it again."""
        environment = stack.bare_environment() | self.given.environment()
        environment["FAULT_CLOCKS"] = str(self.given.home / "clocks")
        paths = (str(CLOCKS), os.environ.get("PYTHONPATH", ""))
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        command = (*inside, sys.executable, "-m", "infra.cli", "up", "--detach")
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

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

    def submit(self, customer: str) -> None:
        """Submit an order of this customer, again until it is accepted."""
        order = json.loads(next(city.orders(city.city(1), 1)).body) | {"customer_id": customer}
        awaited(lambda: self._post(customer, json.dumps(order)) == 202, "an answer of 202")

    def _post(self, key: str, order: str) -> int:
        connection = http.client.HTTPConnection(self.settings.host, self.settings.port, timeout=12)
        token = (self.settings.home / "api-key").read_text().strip()
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            connection.request("POST", "/v1/orders", order, headers | {"Authorization": f"Bearer {token}"})
            return connection.getresponse().status
        finally:
            connection.close()

    def tell_providers(self, names: Sequence[str], behavior: dict[str, object] | None) -> None:
        """Make providers misbehave; None makes them behave."""
        for name in names:
            if behavior:
                self._control("PUT", f"/{name}", json.dumps(behavior))
            else:
                self._control("DELETE", f"/{name}", None)

    def told(self) -> dict[str, object]:
        """How each provider misbehaves now; None if it does not."""
        return dict(json.loads(self._control("GET", "", None)))

    def _control(self, method: str, path: str, body: str | None) -> bytes:
        port = int((self.settings.home / "sandbox" / "port").read_text())
        token = (self.settings.home / "sandbox-token").read_text().strip()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            connection.request(method, f"/_control{path}", body, headers)
            answer = connection.getresponse()
            told = answer.read()
        finally:
            connection.close()
        assert answer.status == 200
        return told

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
def started(place: Place = Place.PLAIN, **values: object) -> Iterator[Stack]:
    """The platform on a home of its own; stopped and removed at the end, kept if UOOP could not be stopped."""
    home = Path(tempfile.mkdtemp(prefix="faults-")).resolve()
    given = Settings.load().with_values(
        home=home, port=0, flower=False, crash_points=True, spread_from=1, **values
    )
    try:
        if place is Place.PROXIED:
            with _behind_proxies(given) as proxied:
                yield proxied
        else:
            Stack(given, given).up(*(_small_disk(home) if place is Place.SMALL_DISK else ()))
            if place is Place.SMALL_DISK:
                _copy_password(home)
            yield Stack(running.connected(given), given)
    finally:
        running.down(given)
        kept_logs = os.environ.get("KEEP_FAULT_LOGS")
        if kept_logs:
            shutil.copytree(home / "logs", kept_logs, dirs_exist_ok=True)
        shutil.rmtree(home)


def _small_disk(home: Path) -> tuple[str, ...]:
    data = kept.folder(home / "postgres")
    return "unshare", "--mount", "sh", "-c", _ON_SMALL_DISK, str(data)


def _copy_password(home: Path) -> None:
    """It lies on the disk that only the platform's own processes see."""
    inside = Path(f"/proc/{state.holder(home)}/root{home}/postgres/password")
    kept.write(home / "postgres" / "password", inside.read_text())


@contextmanager
def _behind_proxies(given: Settings) -> Iterator[Stack]:
    stores = kept.folder(given.home / "stores")
    servers = postgres.prepare(stores), embedded_redis.prepare(stores)
    started_ones = [
        subprocess.Popen(
            server.command,
            env=stack.bare_environment(),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for server in servers
    ]
    sandbox_port = kept.port(given.home, "sandbox")
    proxies = {
        "postgres": Proxy(servers[0].port),
        "redis": Proxy(servers[1].port),
        "sink": Proxy(servers[1].port),
        "sandbox": Proxy(sandbox_port),
    }
    try:
        postgres.wait_ready(servers[0].url, 60)
        embedded_redis.wait_ready(servers[1].url, 60)
        providers = given.home / "proxied.json"
        write_providers(given.with_values(sandbox_port=proxies["sandbox"].port, providers=providers))
        events_url = given.with_values(redis_url=servers[1].url).events_url.get_secret_value()
        proxied = given.with_values(
            providers=providers,
            sandbox_port=sandbox_port,
            database_url=servers[0].url.replace(f":{servers[0].port}/", f":{proxies['postgres'].port}/"),
            redis_url=servers[1].url.replace(f":{servers[1].port}", f":{proxies['redis'].port}"),
            events_url=events_url.replace(f":{servers[1].port}", f":{proxies['sink'].port}"),
        )
        Stack(proxied, proxied).up()
        direct = running.connected(proxied).with_values(
            database_url=servers[0].url, redis_url=servers[1].url, events_url=events_url
        )
        yield Stack(direct, proxied, proxies)
    finally:
        running.down(given)
        for server in started_ones:
            server.terminate()
            server.wait(30)
        for proxy in proxies.values():
            proxy.close()


def awaited(condition: Callable[[], Any], what: str, within_s: float = BOUND_S) -> Any:
    """What the condition gives once it is not empty; may raise while processes and stores come and go."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with suppress(psutil.Error, psycopg2.Error, redis.RedisError, OSError):
            if found := condition():
                return found
        time.sleep(0.02)
    raise NotReached(f"{what} did not come within {within_s:.0f} s")
