import os
import signal
import stat
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
import redis as redis_client
import sqlalchemy

from app import database
from infra import kept
from infra.embedded import binaries, postgres, redis
from infra.embedded.errors import CannotEmbed
from infra.supervisor import Trace, remains


@contextmanager
def running(server, home):
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(server.command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def connect(url):
    return closing(psycopg2.connect(url.replace("+psycopg2", "", 1)))


def test_postgres_takes_only_the_password(postgres_url):
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(postgres_url.replace("+psycopg2", "", 1).replace("uoop:", "uoop:x", 1))


def test_postgres_is_set_as_meant(database_url):
    with sqlalchemy.create_engine(database_url).connect() as connection:
        shown = {
            name: connection.execute(sqlalchemy.text(f"SHOW {name}")).scalar_one()
            for name in ("server_encoding", "synchronous_commit", "track_commit_timestamp")
        }
        connection.engine.dispose()

    assert shown == {"server_encoding": "UTF8", "synchronous_commit": "on", "track_commit_timestamp": "on"}


def test_neither_postgres_nor_an_error_tells_what_customers_sent(home):
    server = postgres.prepare(home)
    with running(server, home):
        postgres.wait_ready(server.url, 60)
        engine = database.engine(server.url, pool_size=1)
        with pytest.raises(sqlalchemy.exc.DataError) as raised, engine.connect() as connection:
            connection.execute(
                sqlalchemy.text(
                    "SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r(at timestamptz, address text)"
                ),
                {"rows": database.rows([{"at": "x", "address": "Road 12"}])},
            )
        engine.dispose()

    assert "Road 12" not in str(raised.value)
    log = (home / "server.log").read_text()
    assert "invalid input syntax" in log
    assert "Road 12" not in log


def test_a_killed_postgres_starts_again_with_its_data_and_address(home):
    server = postgres.prepare(home)
    trace = Trace("postgres", server.data)
    with running(server, home):
        postgres.wait_ready(server.url, 60)
        with connect(server.url) as connection, connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    remains.kill(home, [trace])

    again = postgres.prepare(home)
    again.clean()
    with running(again, home):
        postgres.wait_ready(again.url, 60)
        with connect(again.url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT answer FROM kept")
            answer = cursor.fetchone()
    remains.kill(home, [trace])

    assert answer == (42,)
    assert again.url == server.url == postgres.url(home)


def test_a_stale_lock_file_of_postgres_does_not_block(home):
    server = postgres.prepare(home)
    (server.data / "postmaster.pid").write_text(f"{os.getppid()}\n{server.data}\n1\n{server.port}\n\n\n\n")

    server.clean()
    with running(server, home) as process:
        postgres.wait_ready(server.url, 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_an_interrupted_creation_is_begun_anew(home):
    (home / "postgres" / "data.new").mkdir(parents=True)
    (home / "postgres" / "data.new" / "rubbish").touch()

    server = postgres.prepare(home)

    assert (server.data / "PG_VERSION").exists()


def test_data_of_another_version_is_refused(home):
    server = postgres.prepare(home)
    (server.data / "PG_VERSION").write_text("9\n")

    with pytest.raises(CannotEmbed, match="was made by Postgres 9"):
        postgres.prepare(home)


def test_nothing_outside_the_home_is_changed(home):
    users = Path("/etc/passwd").read_bytes()
    modes = {folder: folder.stat().st_mode for folder in home.parents}
    home.chmod(0o700)

    server = postgres.prepare(home)
    with running(server, home) as process:
        postgres.wait_ready(server.url, 60)
        process.send_signal(signal.SIGINT)
        process.wait(30)

    assert Path("/etc/passwd").read_bytes() == users
    assert {folder: folder.stat().st_mode for folder in home.parents} == modes
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_killed_redis_starts_again_with_its_data_and_address(home):
    server = redis.prepare(home)
    with running(server, home):
        redis.wait_ready(server.url, 60)
        with redis_client.Redis.from_url(server.url) as client:
            client.set("kept", "42")

    again = redis.prepare(home)
    with running(again, home):
        redis.wait_ready(again.url, 60)
        with redis_client.Redis.from_url(again.url) as client:
            kept_value = client.get("kept")

    assert kept_value == b"42"
    assert again.url == server.url == redis.url(home)


def test_redis_takes_only_the_password_and_evicts_nothing(redis_url):
    with redis_client.Redis.from_url(redis_url) as client:
        policy = client.config_get("maxmemory-policy")
    with pytest.raises(redis_client.AuthenticationError):
        redis_client.Redis(host=kept.LOOPBACK, port=kept_port(redis_url)).ping()

    assert policy == {"maxmemory-policy": "noeviction"}


def kept_port(url):
    return int(url.rpartition(":")[2])


def test_a_missing_binary_is_one_line_that_says_what_to_do(monkeypatch, tmp_path):
    (tmp_path / "nothing_here").mkdir()
    (tmp_path / "nothing_here" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(CannotEmbed) as refused:
        binaries.find("nothing_here", "bin/redis-server", instead="UOOP_REDIS_URL")

    assert "redis-server is missing from the nothing_here package" in str(refused.value)
    assert "UOOP_REDIS_URL" in str(refused.value)


def test_each_test_has_a_database_of_its_own(database_url, postgres_url):
    with connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), count(*) FROM pg_tables WHERE schemaname = 'public'")
        name, tables = cursor.fetchone()

    assert name != postgres_url.rpartition("/")[2]
    assert tables == 0
