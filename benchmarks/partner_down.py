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
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine, text

from benchmarks import ground, sending
from benchmarks.figures import percentile
from benchmarks.ground import Ground
from infra.audit import audit

ALLOWED_RISE_S = 2.0
WARM_UP_S = 5.0
OPENS_WITHIN_S = 20.0
END_WITHIN_S = 150.0

_OPEN = text("SELECT EXISTS (SELECT FROM breakers WHERE partner = :partner AND probe_at IS NOT NULL)")
_TAKEN_OVER = text("""
    SELECT count(*) FROM uoop_orders o JOIN dispatch_attempts a ON a.run_id = o.run_id AND a.nth = 0
    WHERE o.created_at BETWEEN :since AND :until
""")


def main() -> int:
    """Exit status 0 if the orders hardly noticed."""
    options = _options()
    with ground.platform(couriers=options.couriers, flower=False) as running:
        sending.answered(running, WARM_UP_S, rate=options.rate)
        since = datetime.now(UTC)
        sending.answered(running, options.seconds, rate=options.rate)
        well = _figures(running, since, datetime.now(UTC))
        down_at = datetime.now(UTC)
        running.tell(options.partner, {"behavior": options.behavior})
        with _sending(running, options.rate, options.seconds + OPENS_WITHIN_S / 2):
            _await_open(running.engine, options.partner)
            opened_at = datetime.now(UTC)
        down = _figures(running, opened_at, datetime.now(UTC))
        running.tell(options.partner, None)
        before_open = _figures(running, down_at, opened_at)
        audited = audit(running.settings, sorted((running.settings.home / "journals").glob("*.jsonl")))
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
def _sending(running: Ground, rate: float, seconds: float) -> Iterator[None]:
    """Send at the rate meanwhile, and until every order is answered."""
    sender = threading.Thread(target=sending.answered, args=(running, seconds), kwargs={"rate": rate})
    sender.start()
    try:
        yield
    finally:
        sender.join()


def _await_open(engine: Engine, partner: str) -> None:
    end = time.monotonic() + OPENS_WITHIN_S
    while time.monotonic() < end:
        with engine.begin() as connection:
            if connection.execute(_OPEN, {"partner": partner}).scalar_one():
                return
        time.sleep(0.05)
    raise TimeoutError(f"the breaker of {partner} has not opened")


def _figures(running: Ground, since: datetime, until: datetime) -> dict[str, float]:
    """Of the orders accepted between; those that are not confirmed within the bound are counted apart."""
    took = sending.took_s(running, since, until, within_s=END_WITHIN_S)
    with running.engine.connect() as connection:
        taken_over = int(connection.execute(_TAKEN_OVER, {"since": since, "until": until}).scalar_one())
    known = sorted(one for one in took if one is not None)
    return {
        "orders": len(took),
        "unconfirmed": len(took) - len(known),
        "passed_on_at_dispatch": taken_over,
        "p50_s": round(percentile(known, 0.5) or 0.0, 3),
        "p99_s": round(percentile(known, 0.99) or 0.0, 3),
        "max_s": round(known[-1], 3) if known else 0.0,
    }


if __name__ == "__main__":
    sys.exit(main())
