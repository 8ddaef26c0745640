"""The platform on several hosts: one with the API, some with workers, one with the data; providers outside."""

import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from host_network import OUTSIDE, Host, host

from benchmarks.cpu import Meter
from benchmarks.ground import Ground
from benchmarks.stores import process
from infra import kept
from infra.embedded import postgres, redis
from infra.sandbox_providers import write_providers
from infra.settings import Settings

PORT, SANDBOX_PORT = 8080, 9000
WORKERS = ("worker-1", "worker-2")
_NETWORK = "10.89.0.0/24"


@dataclass(frozen=True)
class Several(Ground):
    """
    The hosts, and `settings` with which a client outside reaches them.

    :param workers: hosts that can run workers, by name; none does before it is started
    """

    workers: Mapping[str, Host]
    folder: Path

    def meter(self) -> Meter:
        """By host; process ids in the homes' own state files are those of their hosts."""
        return Meter(None, self.beside)

    def start(self, worker: str) -> None:
        """Begin to run workers on this host."""
        _up(
            self.workers[worker],
            self.settings.with_values(home=self.folder / worker, only="workers", sandbox=False),
        )


@contextmanager
def several(*, can_be_bound: bool = False) -> Iterator[Several]:
    """
    Data, API and two hosts for workers, which are not started yet. To be called where we have a switch.

    :param can_be_bound: whether hosts of workers can be bound to a share of CPU
    """
    folder = Path(tempfile.mkdtemp(prefix="uoop-hosts-")).resolve()
    try:
        with ExitStack() as hosts:
            data = hosts.enter_context(host("data", 2))
            api = hosts.enter_context(host("api", 3))
            workers = {
                name: hosts.enter_context(host(name, 4 + n, can_be_bound=can_be_bound))
                for n, name in enumerate(WORKERS)
            }
            given = Settings.load().with_values(
                home=folder / "api",
                host=api.address,
                port=PORT,
                flower=False,
                sandbox_port=SANDBOX_PORT,
                providers=folder / "providers.json",
                webhook_key=secrets.token_urlsafe(32),
                **stores(data, kept.folder(folder / "data")),
            )
            sandbox = hosts.enter_context(_providers(given))
            _up(api, given.with_values(only="api,beat", sandbox=False))
            beside = {"api": api.first_pid, **{name: each.first_pid for name, each in workers.items()}}
            beside |= dict(zip(("postgres", "redis"), (each.pid for each in data.beside), strict=True))
            running = Several(given, beside | {"sandbox": sandbox.pid}, workers, folder)
            running.furnish()
            yield running
            running.engine.dispose()
    finally:
        shutil.rmtree(folder)


def stores(data: Host, folder: Path) -> dict[str, str]:
    """Postgres and Redis of that host; returns their URLs as others reach them."""
    database, cache = postgres.prepare(folder), redis.prepare(folder)
    with (database.data / "pg_hba.conf").open("a") as file:
        file.write(f"host all all {_NETWORK} scram-sha-256\n")
    data.start(*database.command, "-c", "listen_addresses=*", log=folder / "postgres.log")
    data.start(*cache.command, "--bind", "0.0.0.0", log=folder / "redis.log")
    urls = {
        f"{name}_url": server.url.replace(kept.LOOPBACK, data.address)
        for name, server in (("database", database), ("redis", cache))
    }
    postgres.wait_ready(urls["database_url"], 60)
    redis.wait_ready(urls["redis_url"], 60)
    return urls


@contextmanager
def _providers(given: Settings) -> Iterator["subprocess.Popen[bytes]"]:
    """The sandbox at our own address, and the file that names it there."""
    kept.folder(given.home)
    write_providers(given)
    kept.write(given.providers, given.providers.read_text().replace(kept.LOOPBACK, OUTSIDE))
    command = (
        *(sys.executable, "-m", "infra.sandbox", "--home", str(given.home)),
        *("--host", "0.0.0.0", "--port", str(SANDBOX_PORT), "--providers", str(given.providers)),
    )
    with process(command, given.home / "sandbox.log", signal.SIGTERM) as sandbox:
        yield sandbox


def _up(on: Host, settings: Settings) -> None:
    on.run(sys.executable, "-m", "infra.cli", "up", "--detach", **settings.environment())
