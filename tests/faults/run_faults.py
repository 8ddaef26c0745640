"""
Runs the fault suite: `python tests/faults/run_faults.py [--quick] [--only WORD] [--long]`.

Prints one line per fault, and last `faults: N of N clean`; exit code 1 if one is not.
"""

import argparse
import os
import signal
import sys
import time

from fault_run import Result, run
from fault_soak import soak
from fault_stack import started
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
        others = [fault for fault in FAULTS if not fault.name.startswith("dies") and fault.settles]
        return soak(minutes, others, seed=chosen.seed)
    faults = [f for f in FAULTS if chosen.only in f.name and (f.quick or not chosen.quick)]
    clean = 0
    with started() as stack:
        for fault in faults:
            if fault.needs_root and os.geteuid() != 0:
                print(f"{fault.name:<46} not run: needs root", flush=True)
                continue
            result: Result = run(stack, fault)
            clean += result.clean
            print(result.line, flush=True)
    print(f"faults: {clean} of {len(faults)} clean")
    return 0 if clean == len(faults) else 1


if __name__ == "__main__":
    sys.exit(main())
