"""
Whether an order has become dearer: `python -m benchmarks.check`; `--write` makes today's price the baseline.

An open loop of some seconds, five times; each time the platform's CPU of an order, as a ratio to the CPU that a fixed
piece of work takes just before and after, so that it means the same on another machine. The median is compared with
benchmarks/baseline.json. Exits 1 if it is dearer by more than 15 %.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks import ground, machine, sending
from benchmarks.cpu import calibration_s
from benchmarks.ground import Ground

BASELINE = Path(__file__).with_name("baseline.json")
ROUNDS, SECONDS, WARM_UP_S = 5, 8.0, 4.0
RATE = 400.0
ALLOWED = 0.15


def main() -> int:
    """Exit status 0 if an order is not dearer than the baseline allows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--write", action="store_true", help="make what is measured the baseline")
    options = parser.parse_args()
    with ground.platform() as running:
        sending.at_rate(running, RATE, WARM_UP_S)
        ratios = [_ratio(running) for _ in range(ROUNDS)]
    if options.write:
        told = {"ratio": round(median(ratios), 4), "rounds": _rounded(ratios), "machine": machine.described()}
        BASELINE.write_text(json.dumps(told, indent=1) + "\n")
        return 0
    baseline = json.loads(BASELINE.read_text())["ratio"]
    sys.stdout.write(f"{verdict(ratios, baseline)}\n")
    return 0 if is_allowed(ratios, baseline) else 1


def is_allowed(ratios: Sequence[float], baseline: float) -> bool:
    return median(ratios) <= baseline * (1 + ALLOWED)


def verdict(ratios: Sequence[float], baseline: float) -> str:
    """One line for people."""
    change = median(ratios) / baseline - 1
    what = "within" if change <= ALLOWED else "beyond"
    hint = "; keep the gain: `make bench-check WRITE=1`" if change < -ALLOWED else ""
    return (
        f"CPU of an order against the calibration loop: {median(ratios):.4f}, baseline {baseline:.4f}: "
        f"{change:+.1%}, {what} {ALLOWED:.0%} (rounds: {', '.join(map(str, _rounded(ratios)))}){hint}"
    )


def _ratio(running: Ground) -> float:
    before = calibration_s()
    sent = sending.at_rate(running, RATE, SECONDS)
    after = calibration_s()
    return sent.meter.platform_s / len(sent.promises) / ((before + after) / 2)


def _rounded(ratios: Sequence[float]) -> list[float]:
    return [round(ratio, 4) for ratio in ratios]


if __name__ == "__main__":
    sys.exit(main())
