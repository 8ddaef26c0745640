"""The spine's tests run on a migrated database and an empty Redis."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest
import redis
import structlog
from sqlalchemy import Engine, text
from world import World

from app import database, migrations, partitions
from app.runs import cohorts
from app.tenants import service as tenants
from infra import cli

TEMPLATE = "uoop_template"
REDIS_NUMBER = 9
_LEFT_ALONE = ("tenants", "signing_secrets", "alembic_version")


@pytest.fixture(scope="session", autouse=True)
def _plain_tracebacks() -> None:
    """The default renderer takes seconds to draw one with all local variables."""
    structlog.configure(
        processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """A migrated database with its partitions, lanes and the default tenant."""
    _administer(postgres_url, f"CREATE DATABASE {TEMPLATE}")
    engine = database.engine(_url(postgres_url, TEMPLATE), pool_size=1)
    migrations.upgrade(engine)
    partitions.maintain(engine, now=datetime.now(UTC))
    with engine.begin() as connection:
        _furnish(connection)
    engine.dispose()
    return TEMPLATE


@pytest.fixture(scope="session")
def shared_engine(postgres_url: str, template_database: str) -> Iterator[Engine]:
    name = "uoop_shared"
    _administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template_database}")
    _administer(postgres_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    _administer(postgres_url, f"ALTER DATABASE {name} SET deadlock_timeout = '10ms'")
    engine = database.engine(_url(postgres_url, name), pool_size=12)
    yield engine
    engine.dispose()


@pytest.fixture
def db(shared_engine: Engine) -> Iterator[Engine]:
    """A migrated database in which nothing has happened yet; emptied after each test, which is quicker than a copy."""
    yield shared_engine
    _empty(shared_engine)


@pytest.fixture
def emptied(db: Engine, client: "redis.Redis[bytes]") -> Callable[[], None]:
    """Empties both between the examples of a test."""

    def empty() -> None:
        _empty(db)
        client.flushdb()

    return empty


@pytest.fixture
def client_url(redis_url: str) -> str:
    return f"{redis_url}/{REDIS_NUMBER}"


@pytest.fixture
def client(client_url: str) -> Iterator["redis.Redis[bytes]"]:
    """An empty Redis."""
    with redis.Redis.from_url(client_url) as found:
        found.flushdb()
        yield found
        found.flushdb()


@pytest.fixture
def world(db: Engine, client: "redis.Redis[bytes]") -> World:
    """A platform in which nothing has happened yet."""
    return World.made(db, client)


@pytest.fixture
def uoop(
    db: Engine,
    client_url: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Runs a command in this process: its exit code, and what it said on stdout, or else on stderr."""
    monkeypatch.setenv("UOOP_HOME", str(home))
    monkeypatch.setenv("UOOP_DATABASE_URL", db.url.render_as_string(hide_password=False))
    monkeypatch.setenv("UOOP_REDIS_URL", client_url)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["uoop", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out or told.err

    return run


def _furnish(connection: database.Connection) -> None:
    cohorts.open_lane(connection, "front", slots=3)
    cohorts.open_lane(connection, "retry", slots=1)
    cohorts.open_lane(connection, "compensation", slots=1)
    tenants.ensure_tenant(connection, "default", name="Default", order_deadline_s=900)


def _url(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


def _administer(url: str, statement: str) -> None:
    connection = psycopg2.connect(url.replace("+psycopg2", "", 1))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def _empty(engine: Engine) -> None:
    with engine.begin() as connection:
        tables = connection.execute(
            text(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND pg_relation_size(oid) > 0 "
                "AND relnamespace = 'public'::regnamespace AND relname <> ALL(:but)"
            ),
            {"but": list(_LEFT_ALONE)},
        ).scalars()
        order = sorted(tables, key=lambda name: (name == "lanes", name))  # slots refer to lanes
        connection.exec_driver_sql("; ".join(f"DELETE FROM {name}" for name in order))
        connection.exec_driver_sql(
            "INSERT INTO capacity_ledger (epoch) VALUES (1);"
            "INSERT INTO outbox_sequencer (pos, day) VALUES (0, current_date);"
            "DELETE FROM tenants WHERE id <> 'default'"
        )
        _furnish(connection)
