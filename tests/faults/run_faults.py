"""
Runs the fault suite: `python tests/faults/run_faults.py [--quick] [--only WORD] [--long]`.

Prints one line per fault, a Markdown table, and last `faults: N of N clean`; exit code 1 if one is not.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator

from fault_run import Fault, Result, run, table
from fault_soak import soak
from fault_stack import Place, started
from fault_table import FAULTS


def main() -> int:
    minutes = float(
        os.environ.pop("UOOP_FAULT_MINUTES", "") or 60
    )  # ours, not one of the platform's settings
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the quick suite")
    parser.add_argument("--only", default="", help="only faults whose name holds this")
    parser.add_argument("--long", action="store_true", help="randomised, for UOOP_FAULT_MINUTES (60)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the long form")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is stopped, however we end
    if chosen.long:
        others = [f for f in FAULTS if f.settles and f.place is Place.PLAIN and not f.name.startswith("dies")]
        return soak(minutes, others, seed=chosen.seed)
    faults = [f for f in FAULTS if chosen.only in f.name and (f.quick or not chosen.quick)]
    skipped = [fault for fault in faults if fault.needs_root and os.geteuid() != 0]
    results: list[Result] = []
    for place in Place:
        here = [fault for fault in faults if fault.place is place and fault not in skipped]
        results += _run_all(place, here) if here else []
    for fault in skipped:
        print(f"{fault.name:<46} not run: needs root", flush=True)
    if len(results) > 1:
        print(f"\n{table(results)}\n")
    clean = sum(result.clean for result in results)
    needing = f", {len(skipped)} not run: need root" if skipped else ""
    print(f"faults: {clean} of {len(faults)} clean{needing}")
    return 0 if clean == len(results) else 1


def _run_all(place: Place, faults: list[Fault]) -> Iterator[Result]:
    with started(place) as stack:
        for fault in faults:
            result = run(stack, fault)
            print(result.line, flush=True)
            yield result


if __name__ == "__main__":
    sys.exit(main())
