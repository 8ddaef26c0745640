"""
How long an audit takes: `python -m benchmarks.audit_speed 1000000`.

Writes a history of so many orders into embedded servers of a folder of its own, with a sandbox that serves its
ledger over HTTP, then audits it. Prints the seconds of each part and exits 1 if the audit is not clean.
"""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import redis

from app import database
from benchmarks import history, stores
from infra.audit import audit
from infra.sandbox_providers import write_providers
from infra.settings import Settings

_AUDITS = 2


def main() -> int:
    """Exit status 0 if every audit was clean."""
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with stores.started("audit-speed") as settings, ExitStack() as running:
        return _measure(running, settings, orders)


def _measure(running: ExitStack, settings: Settings, orders: int) -> int:
    home = settings.home
    engine = database.engine(settings.database_url.get_secret_value(), pool_size=1)
    with _timed("history in Postgres"):
        history.write(engine, orders)
    with _timed("holds and stream in Redis"):
        history.publish(
            engine,
            redis.Redis.from_url(settings.ledger_url.get_secret_value()),
            redis.Redis.from_url(settings.events_url.get_secret_value()),
        )
    (home / "sandbox").mkdir()
    with _timed("the sandbox's ledger"):
        history.record(engine, home / "sandbox" / "ledger.db")
        history.journal(engine, home / "journal")
    engine.dispose()
    write_providers(settings)
    serve = (sys.executable, "-m", "infra.sandbox", "--home", str(home), "--port", "0")
    running.enter_context(stores.process(serve, home / "sandbox.log", signal.SIGTERM))
    while not (home / "sandbox" / "port").exists():
        time.sleep(0.1)
    clean = True
    for _ in range(_AUDITS):
        with _timed(f"audit of {orders:,} orders"):
            report = audit(settings, [home / "journal"], settled=True)
        clean = clean and report.clean
    sys.stdout.write("\n".join(report.lines) + "\n")
    return 0 if clean else 1


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    sys.stdout.write(f"{time.monotonic() - began:7.1f} s  {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
