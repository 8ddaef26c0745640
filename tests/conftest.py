"""Real Postgres and Redis for every test that asks for them, started once, in a folder of their own."""

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from infra.embedded import postgres, redis


@contextmanager
def _running(command: tuple[str, ...], log: Path, stop_signal: signal.Signals) -> Iterator[None]:
    with log.open("ab") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    try:
        yield
    finally:
        server.send_signal(stop_signal)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> None:
    """The developer's own UOOP_* variables are not the tests' business."""
    for name in [name for name in os.environ if name.startswith("UOOP_")]:
        del os.environ[name]


@pytest.fixture
def home() -> Iterator[Path]:
    """A UOOP_HOME of one test."""
    folder = Path(tempfile.mkdtemp(prefix="uoop-test-")).resolve()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Path]:
    """The UOOP_HOME of the servers that all tests share."""
    folder = Path(tempfile.mkdtemp(prefix="uoop-tests-")).resolve()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def furnish() -> Iterator[Callable[[Path], None]]:
    """Gives homes a data folder of Postgres, which takes a moment to make and none to copy."""
    template = Path(tempfile.mkdtemp(prefix="uoop-template-")).resolve()
    postgres.prepare(template)

    def copy(home: Path) -> None:
        shutil.copytree(template / "postgres", home / "postgres")

    yield copy
    shutil.rmtree(template)


@pytest.fixture(scope="session")
def postgres_url(servers_home: Path) -> Iterator[str]:
    """The shared Postgres: SQLAlchemy URL of a database that tests leave alone (see ``database_url``)."""
    server = postgres.prepare(servers_home)
    with _running(server.command, servers_home / "postgres.log", signal.SIGINT):
        postgres.wait_ready(server.url, 60)
        yield server.url


@pytest.fixture(scope="session")
def redis_url(servers_home: Path) -> Iterator[str]:
    """The shared Redis, without a database number."""
    with _redis(servers_home) as url:
        yield url


@pytest.fixture(scope="module")
def own_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis that nobody else uses: it may be emptied, or told not to answer."""
    with _redis(tmp_path_factory.mktemp("own-redis")) as url:
        yield url


@contextmanager
def _redis(home: Path) -> Iterator[str]:
    server = redis.prepare(home)
    with _running(server.command, home / "redis.log", signal.SIGTERM):
        redis.wait_ready(server.url, 60)
        yield server.url


@pytest.fixture(scope="session")
def template_database() -> str:
    """Name of the database that each test's own one is copied from; nobody may be connected to it."""
    return "template0"


@pytest.fixture
def database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """A database of the test's own, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    base, _, _ = postgres_url.rpartition("/")
    _administer(postgres_url, f'CREATE DATABASE {name} TEMPLATE "{template_database}"')
    yield f"{base}/{name}"
    _administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url.replace("+psycopg2", "", 1))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
