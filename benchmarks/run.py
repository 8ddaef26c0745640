"""
The bench: `python -m benchmarks.run [PART ...] [--scale 0.1]`.

Measures the parts, all of them unless some are named, keeps what was found in benchmarks/results/latest.json and
writes docs/performance.md from it. A part that breaks is told, and the others go on; the exit status is 1 then. With
a scale other than 1 it is a trial: what was found goes to benchmarks/results/trial.json, and no page is written.
"""

import argparse
import json
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import machine, performance
from benchmarks.cpu import calibration_s
from benchmarks.parts import ALONE, PARTS
from infra import garbage

RESULTS = Path("benchmarks/results")


def main() -> int:
    """Exit status 0 if every part came to its end."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped
    path = RESULTS / ("latest.json" if options.scale == 1.0 else "trial.json")
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    broken, all_began = [], time.monotonic()
    for name in options.parts or PARTS:
        began = time.monotonic()
        _say(f"{name} ...")
        try:
            kept[name] = _measured(name, options.scale)
        except Exception:  # noqa: BLE001 (the others are measured all the same)
            traceback.print_exc()
            broken.append(name)
        else:
            _keep(path, kept)
            for problem in kept[name]["found"].get("broken", ()):
                _say(f"{name}: {problem}")
                broken.append(name)
        _say(f"{name}: {'broke' if name in broken else 'done'} after {time.monotonic() - began:.0f} s")
    _say(f"all: {(time.monotonic() - all_began) / 60:.1f} minutes")
    if options.scale == 1.0:
        performance.write(kept)
    return 1 if broken else 0


def _measured(name: str, scale: float) -> dict[str, Any]:
    """What the part has found, with what it was found on."""
    command = f"python -m benchmarks.run {name}" + ("" if scale == 1.0 else f" --scale {scale}")
    before = {"command": command, "machine": machine.described(), "calibration_s": calibration_s()}
    part = import_module(f"benchmarks.parts.{name}")
    garbage.settle()  # who looks for cycles among all promises sends nothing for 80 ms
    began = time.monotonic()
    found = part.measure(scale)
    return {**before, "took_s": round(time.monotonic() - began, 1), "found": found}


def _keep(path: Path, kept: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    named = f"{', '.join(PARTS)}; only when named: {', '.join(ALONE)}"
    parser.add_argument("parts", nargs="*", metavar="PART", help=named)
    parser.add_argument("--scale", type=float, default=1.0, help="of all times; less than 1 is a trial")
    options = parser.parse_args()
    if unknown := set(options.parts) - {*PARTS, *ALONE}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
