"""
What one hanging delivery partner costs everybody else: `python -m benchmarks.hanging_partner --rate 600`.

Starts a platform of its own, sends orders at a fixed rate, first with all partners well, then with one that never
answers, and prints one JSON object: for both times the latency from acceptance to confirmation of the orders that
were planned for somebody else, and by how much their p99 rose. Exits 1 if that is half a second or more, or if one
of them was not confirmed.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, text

from benchmarks import ground, sending
from benchmarks.ground import Ground
from sagas.fulfill_order import FULFILL_ORDER
from sagas.steps import plan_fulfilment

ALLOWED_RISE_S = 0.5
WARM_UP_S = 5.0
END_WITHIN_S = 20.0

_OTHERS = text("""
    SELECT extract(epoch FROM e.at - o.created_at)::float AS took_s
    FROM uoop_orders o
    JOIN LATERAL (SELECT x.detail FROM outcomes x WHERE x.run_id = o.run_id AND x.step = :plan
        ORDER BY x.cohort_id DESC LIMIT 1) p ON true
    LEFT JOIN LATERAL (
        SELECT at FROM outbox_log WHERE order_id = o.id AND type = 'order.confirmed'
        UNION ALL SELECT at FROM outbox_in WHERE order_id = o.id AND type = 'order.confirmed' LIMIT 1) e ON true
    WHERE o.created_at BETWEEN :since AND :until AND p.detail -> 'ranking' ->> 0 <> :partner
""")
_ALL = text("SELECT count(*) FROM uoop_orders WHERE created_at BETWEEN :since AND :until")


@dataclass(frozen=True, slots=True)
class Phase:
    """Sending for a while; times of the machine's clock, which is the database's too."""

    since: datetime
    until: datetime
    behind_s: float
    shed: int


def main() -> int:
    """Exit status 0 if the others hardly noticed."""
    options = _options()
    with ground.platform(flower=False) as running:
        engine = running.engine
        _send(running, options.rate, WARM_UP_S)
        well = _send(running, options.rate, options.seconds)
        _settle(engine, well, options.partner)
        running.tell(options.partner, {"behavior": "hang"})
        hanging = _send(running, options.rate, options.seconds)
        _settle(engine, hanging, options.partner)
        running.tell(options.partner, None)
        told = {
            "rate": options.rate,
            "seconds": options.seconds,
            "partner": options.partner,
            "load_average": os.getloadavg()[0],
            "well": _figures(engine, well, options.partner),
            "hanging": _figures(engine, hanging, options.partner),
        }
    rise_s = _rise(told["well"], told["hanging"])
    unconfirmed = told["hanging"]["unconfirmed"]
    sys.stdout.write(json.dumps({**told, "p99_rise_s": rise_s}) + "\n")
    return 0 if rise_s < ALLOWED_RISE_S and not unconfirmed else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rate", type=float, default=600.0, help="orders per second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of sending, each time")
    parser.add_argument("--partner", default="swift", help="who hangs")
    return parser.parse_args()


def _send(running: Ground, rate: float, seconds: float) -> Phase:
    """Send at the rate; returns when every order is answered."""
    since = datetime.now(UTC)
    sent = sending.answered(running, seconds, rate=rate)
    return Phase(since, datetime.now(UTC), sent.tally.behind_s, sent.tally.shed)


def _settle(engine: Engine, phase: Phase, partner: str) -> None:
    """Wait until all others are confirmed, within a bound."""
    end = time.monotonic() + END_WITHIN_S
    while time.monotonic() < end and None in _latencies(engine, phase, partner):
        time.sleep(0.5)


def _latencies(engine: Engine, phase: Phase, partner: str) -> Sequence[float | None]:
    """Seconds from acceptance to confirmation of those planned for others; None is not confirmed."""
    values = {"plan": FULFILL_ORDER.numbers[plan_fulfilment.NAME], "partner": partner}
    with engine.begin() as connection:
        found = connection.execute(_OTHERS, {**values, "since": phase.since, "until": phase.until})
        return list(found.scalars())


def _figures(engine: Engine, phase: Phase, partner: str) -> dict[str, float | int]:
    took = _latencies(engine, phase, partner)
    known = sorted(one for one in took if one is not None)
    with engine.begin() as connection:
        orders = int(connection.execute(_ALL, {"since": phase.since, "until": phase.until}).scalar_one())
    return {
        "orders": orders,
        "of_others": len(took),
        "unconfirmed": len(took) - len(known),
        "p50_s": _percentile(known, 0.5),
        "p99_s": _percentile(known, 0.99),
        "max_s": _percentile(known, 1.0),
        "sent_late_s": round(phase.behind_s, 3),
        "shed": phase.shed,
    }


def _percentile(ascending: Sequence[float], share: float) -> float:
    """The nearest rank."""
    return round(ascending[max(0, math.ceil(share * len(ascending)) - 1)], 3) if ascending else math.nan


def _rise(well: dict[str, float | int], hanging: dict[str, float | int]) -> float:
    return round(hanging["p99_s"] - well["p99_s"], 3)


if __name__ == "__main__":
    sys.exit(main())
