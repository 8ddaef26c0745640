"""What everything costs while nobody orders anything."""

import time
from collections.abc import Mapping
from typing import Any

from benchmarks import ground, sending
from benchmarks.pages import Section, table

TITLE = "Idle"
SECONDS, SETTLED_AFTER_S = 20.0, 5.0


def measure(scale: float) -> dict[str, Any]:
    with ground.platform(kafka=True) as running:
        sending.at_rate(running, 100.0, 3.0)  # connections are open, code is loaded
        time.sleep(SETTLED_AFTER_S * scale)
        with running.meter() as meter:
            time.sleep(SECONDS * scale)
    shares = {name: spent / meter.wall_s * 100 for name, spent in meter.spent.items()}
    return {
        "percent_of_a_core": round(meter.platform_s / meter.wall_s * 100, 2),
        "by_process": {name: round(share, 2) for name, share in sorted(shares.items())},
    }


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    rows = [[name, share] for name, share in found["by_process"].items()]
    return Section(
        "Everything up, a few hundred orders done, then nothing: "
        f"**{found['percent_of_a_core']} % of one core** without sandbox, load generator and the mock of Kafka.\n\n"
        + table(["process", "% of a core"], rows)
    )
