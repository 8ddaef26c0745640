"""
What a delivery partner who is down costs the orders that come meanwhile: `python -m benchmarks.partner_down`.

Starts a platform of its own, sends orders at a fixed rate, first with all partners well, then with one down, counted
from the moment when his breaker is open, and prints one JSON object: for both times the latency from acceptance to
confirmation of all orders, and by how much their p99 rose. Exits 1 if that is 2 s or more, if an order was not
confirmed, or if the audit finds something.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

from sqlalchemy import Engine, text

from app import database
from app.fleet import service as fleet
from app.restaurants import service as restaurants
from app.tenants.service import DEFAULT_TENANT
from infra import kept, running
from infra.audit import audit
from infra.demo import arrivals, city
from infra.demo.journal import Journal
from infra.demo.load import Load
from infra.demo.pacing import Schedule
from infra.demo.report import percentile
from infra.settings import Settings

ALLOWED_RISE_S = 2.0
WARM_UP_S = 5.0
OPENS_WITHIN_S = 20.0
END_WITHIN_S = 150.0
CITY_SEED = 7

_TOOK = text("""
    SELECT extract(epoch FROM e.at - o.created_at)::float FROM uoop_orders o LEFT JOIN LATERAL (
        SELECT at FROM outbox_log WHERE order_id = o.id AND type = 'order.confirmed'
        UNION ALL SELECT at FROM outbox_in WHERE order_id = o.id AND type = 'order.confirmed' LIMIT 1) e ON true
    WHERE o.created_at BETWEEN :since AND :until
""")
_OPEN = text("SELECT EXISTS (SELECT FROM breakers WHERE partner = :partner AND probe_at IS NOT NULL)")
_TAKEN_OVER = text("""
    SELECT count(*) FROM uoop_orders o JOIN dispatch_attempts a ON a.run_id = o.run_id AND a.nth = 0
    WHERE o.created_at BETWEEN :since AND :until
""")


def main() -> int:
    """Exit status 0 if the orders hardly noticed."""
    options = _options()
    with _platform() as settings:
        engine = database.engine(settings.database_url.get_secret_value(), pool_size=1)
        place = city.city(CITY_SEED)
        with engine.begin() as connection:
            restaurants.register(connection, DEFAULT_TENANT, place.restaurants)
            if options.couriers:
                fleet.register(connection, DEFAULT_TENANT, place.couriers)
        with _sending(settings, place, options.rate, WARM_UP_S):
            pass
        since = datetime.now(UTC)
        with _sending(settings, place, options.rate, options.seconds):
            pass
        well = _figures(engine, since, datetime.now(UTC))
        down_at = datetime.now(UTC)
        _tell(settings, options.partner, {"behavior": options.behavior})
        with _sending(settings, place, options.rate, options.seconds + OPENS_WITHIN_S / 2):
            _await_open(engine, options.partner)
            opened_at = datetime.now(UTC)
        down = _figures(engine, opened_at, datetime.now(UTC))
        _tell(settings, options.partner, None)
        before_open = _figures(engine, down_at, opened_at)
        audited = audit(settings, journals=sorted((settings.home / "journals").glob("*.jsonl")))
        told = {
            "rate": options.rate,
            "partner": options.partner,
            "behavior": options.behavior,
            "load_average": os.getloadavg()[0],
            "opened_after_s": round((opened_at - down_at).total_seconds(), 2),
            "well": well,
            "before_it_opened": before_open,
            "down": down,
            "audit": "clean" if audited.clean else list(audited.lines),
        }
        engine.dispose()
    added_s = round(down["p99_s"] - well["p99_s"], 3)
    sys.stdout.write(json.dumps({**told, "added_p99_s": added_s}) + "\n")
    good = added_s < ALLOWED_RISE_S and not down["unconfirmed"] and audited.clean
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rate", type=float, default=200.0, help="orders per second")
    parser.add_argument("--seconds", type=float, default=15.0, help="of sending, each time")
    parser.add_argument("--partner", default="falcon", help="who is down")
    parser.add_argument("--behavior", default="down", choices=["down", "hang", "fail"], help="and how")
    parser.add_argument("--couriers", action="store_true", help="have couriers of our own too")
    return parser.parse_args()


@contextmanager
def _platform() -> Iterator[Settings]:
    home = Path(tempfile.mkdtemp(prefix="uoop-down-")).resolve()
    chosen = Settings.load().with_values(home=home, port=kept.port(home, "api"), flower=False)
    try:
        running.up_detached(chosen)
        yield running.connected(chosen)
    finally:
        running.down(chosen)
        shutil.rmtree(home)


@contextmanager
def _sending(settings: Settings, place: city.City, rate: float, seconds: float) -> Iterator[None]:
    """Send at the rate meanwhile, and until every order is answered."""
    count = round(rate * seconds)
    load = Load(settings.host, settings.port, (settings.home / "api-key").read_text().strip())
    with Journal(settings.home / "journals" / f"{datetime.now(UTC):%H%M%S%f}.jsonl") as journal:
        sending = threading.Thread(
            target=load.run,
            args=(city.orders(place, count), Schedule(arrivals.evenly(count, rate=rate)), journal),
        )
        sending.start()
        yield
        while sending.is_alive():
            load.ended = load.tally.accepted  # nobody waits for their ends here
            sending.join(0.2)


def _await_open(engine: Engine, partner: str) -> None:
    end = time.monotonic() + OPENS_WITHIN_S
    while time.monotonic() < end:
        with engine.begin() as connection:
            if connection.execute(_OPEN, {"partner": partner}).scalar_one():
                return
        time.sleep(0.05)
    raise TimeoutError(f"the breaker of {partner} has not opened")


def _figures(engine: Engine, since: datetime, until: datetime) -> dict[str, float]:
    """Of the orders accepted between; those that are not confirmed within the bound are counted apart."""
    span = {"since": since, "until": until}
    end = time.monotonic() + END_WITHIN_S
    took: Sequence[float | None] = [None]
    while None in took and time.monotonic() < end:
        with engine.begin() as connection:
            took = list(connection.execute(_TOOK, span).scalars())
            taken_over = int(connection.execute(_TAKEN_OVER, span).scalar_one())
        time.sleep(0.5)
    known = sorted(one for one in took if one is not None)
    return {
        "orders": len(took),
        "unconfirmed": len(took) - len(known),
        "passed_on_at_dispatch": taken_over,
        "p50_s": round(percentile(known, 0.5) or 0.0, 3),
        "p99_s": round(percentile(known, 0.99) or 0.0, 3),
        "max_s": round(known[-1], 3) if known else 0.0,
    }


def _tell(settings: Settings, partner: str, behavior: dict[str, str] | None) -> None:
    """Make the sandbox's partner misbehave; None makes it behave."""
    connection = HTTPConnection(kept.LOOPBACK, settings.sandbox_port, timeout=10)
    token = (settings.home / "sandbox-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    method, body = ("PUT", json.dumps(behavior)) if behavior else ("DELETE", None)
    connection.request(method, f"/_control/{partner}", body, headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"the sandbox answered {answer.status}")
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
