"""A platform of its own for each part of the bench, in a folder under .uoop: durable means durable on this disk."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType

import psutil
from sqlalchemy import Engine, text

from app import database, time_ids
from app.fleet import service as fleet
from app.restaurants import service as restaurants
from app.tenants import keys
from app.tenants import service as tenants
from app.tenants.service import DEFAULT_TENANT
from benchmarks import stores
from benchmarks.cpu import Meter
from benchmarks.noop.saga import NOOP
from infra import kept, running, stack
from infra.demo import city, report
from infra.embedded import postgres as embedded
from infra.sandbox_providers import write_providers
from infra.settings import Settings
from infra.supervisor import logs, state
from sagas.definition import Saga
from sagas.fulfill_order import FULFILL_ORDER

SEED = 7
READY_WITHIN_S = 120.0
RATE_NOT_LIMITED = 1_000_000  # requests a second of a key: limits are checked and never reached

_LEFT = text("SELECT count(*) FROM runs WHERE id >= :first AND state IN ('w', 't')")


@dataclass(frozen=True)
class Ground:
    """A running platform with its city."""

    settings: Settings
    beside: Mapping[str, int]  # further processes, by name
    saga: Saga  # of an order

    @cached_property
    def engine(self) -> Engine:
        return database.engine(self.settings.database_url.get_secret_value(), pool_size=2)

    @cached_property
    def city(self) -> city.City:
        return city.city(SEED)

    @cached_property
    def token(self) -> str:
        return (self.settings.home / "api-key").read_text().strip()

    def meter(self) -> Meter:
        return Meter(self.settings, self.beside)

    def furnish(self, tenant: str = DEFAULT_TENANT, *, couriers: bool = True) -> None:
        """Make the city known; its restaurants have room for any load."""
        with self.engine.begin() as connection:
            restaurants.register(connection, tenant, self.city.restaurants)
            if couriers:
                fleet.register(connection, tenant, self.city.couriers)

    def admit(self, tenant: str) -> str:
        """Make another tenant who has the city too; returns a key of its own."""
        with self.engine.begin() as connection:
            tenants.create_tenant(connection, tenant, name=tenant, order_deadline_s=900, rate_per_s=None)
            key = keys.create(connection, tenant, scopes=["orders:read", "orders:write"], who="bench")
        self.furnish(tenant)
        return key

    def tell(self, provider: str, behavior: Mapping[str, object] | None) -> None:
        """Make a provider of the sandbox misbehave; None makes it behave."""
        connection = HTTPConnection(kept.LOOPBACK, self.settings.sandbox_port, timeout=10)
        token = (self.settings.home / "sandbox-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        method, body = ("PUT", json.dumps(behavior)) if behavior else ("DELETE", None)
        with closing(connection):
            connection.request(method, f"/_control/{provider}", body, headers)
            answer = connection.getresponse()
            if answer.status != HTTPStatus.OK:
                raise RuntimeError(f"the sandbox answered {answer.status}")

    def rest(self, worker: str) -> None:
        """Let a worker finish what it runs, and be away from then on."""
        running.drain(self.settings, worker)

    def settle(self, *, since: float = 0.0, within_s: float = 60.0) -> bool:
        """
        Wait until no run is under way and no event on its way; returns whether that came about.

        :param since: epoch seconds; older runs are not looked at, which spares Postgres reading all of them
        """
        first = time_ids.floor(datetime.fromtimestamp(since, UTC))
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            with self.engine.connect() as connection:
                if not connection.execute(_LEFT, {"first": first}).scalar_one() and not report.undelivered(
                    connection
                ):
                    return True
            time.sleep(0.25)
        return False


@contextmanager
def platform(
    *,
    kafka: bool = False,
    bulk: bool = True,
    noop: bool = False,
    couriers: bool = True,
    postgres: Mapping[str, str] = MappingProxyType({}),
    **values: object,
) -> Iterator[Ground]:
    """
    Start everything, Flower and sandbox too, and stop and remove it at the end.

    :param kafka: events also go to librdkafka's mock of a Kafka cluster
    :param bulk: False: every provider takes one order at a time
    :param noop: its steps do nothing
    :param couriers: whether there is an own fleet
    :param postgres: settings of Postgres in place of those that the embedded one has
    :param values: further settings
    """
    Path(".uoop").mkdir(mode=0o700, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="bench-", dir=".uoop")).resolve()
    limits = {"key_rate_per_s": RATE_NOT_LIMITED, "tenant_rate_per_s": RATE_NOT_LIMITED}
    chosen = Settings(home=home, port=kept.port(home, "api"), log_level="warning", **{**limits, **values})  # type: ignore[arg-type]
    if not bulk:
        chosen = _one_at_a_time(chosen)
    try:
        with ExitStack() as beside:
            others = {}
            if kafka:
                brokers, others["kafka"] = beside.enter_context(_kafka(home))
                chosen = chosen.with_values(kafka_brokers=brokers)
            if postgres:
                url, others["postgres"] = beside.enter_context(_postgres(home, postgres))
                chosen = chosen.with_values(database_url=url)
            beside.callback(running.down, chosen)
            _up(chosen, noop=noop)
            ground = Ground(running.connected(chosen), others, NOOP if noop else FULFILL_ORDER)
            ground.furnish(couriers=couriers)
            yield ground
            ground.engine.dispose()
    finally:
        shutil.rmtree(home)


@contextmanager
def _postgres(home: Path, settings: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """The embedded server, run beside the platform with these settings; its address and process id."""
    folder = kept.folder(home / "beside")
    server = embedded.prepare(folder)
    options = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
    with stores.process((*server.command, *options), folder / "log", signal.SIGINT) as process:
        embedded.wait_ready(server.url, 60)
        yield server.url, process.pid


@contextmanager
def _kafka(home: Path) -> Iterator[tuple[str, int]]:
    """Addresses and process id."""
    with stores.kafka_cluster(home) as brokers:
        yield brokers, _listener(brokers)


def _listener(brokers: str) -> int:
    port = int(brokers.partition(",")[0].rpartition(":")[2])
    return next(
        each.pid
        for each in psutil.net_connections("tcp")
        if each.laddr and each.laddr.port == port and each.status == psutil.CONN_LISTEN and each.pid
    )


def _one_at_a_time(chosen: Settings) -> Settings:
    """Settings under which no provider takes orders in bulk."""
    chosen = chosen.with_values(sandbox_port=kept.port(chosen.home, "sandbox"))
    write_providers(chosen)
    declared = json.loads(chosen.providers.read_text())["providers"]
    singly = chosen.home / "one-at-a-time.json"
    kept.write(singly, json.dumps({"providers": [each | {"bulk": False} for each in declared]}))
    return chosen.with_values(providers=singly)


def _up(chosen: Settings, *, noop: bool) -> None:
    if not noop:
        running.up_detached(chosen)
        return
    with logs.writer(chosen.home, "up") as said:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.noop.platform"],
            env=stack.bare_environment() | chosen.environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    end = time.monotonic() + READY_WITHIN_S
    while not ((seen := state.read(chosen.home)) and seen.ready):
        if supervisor.poll() is not None or time.monotonic() > end:
            raise running.NotStarted(said=logs.path(chosen.home, "up").read_text())
        time.sleep(0.05)
