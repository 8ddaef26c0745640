"""Each process is killed in the middle of the demo, and nothing is lost, doubled or left behind."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from uoop_command import Uoop

ORDERS = 1500
MIDDLE = 400  # accepted orders after which the blow falls
DEMO = ("demo", "--orders", str(ORDERS), "--failure-rate", "0.1", "--json")
PROCESSES = (
    *("postgres", "redis", "sandbox", "api", "beat", "flower"),
    *("worker-steps", "worker-partner", "worker-patient", "worker-optimizer"),
    *("worker-control", "worker-outbox"),
)

Eventually = Callable[..., object]


def _pid(uoop: Uoop, name: str) -> int:
    rows = json.loads(uoop("ps", "--json").stdout)
    return int(next(row["pid"] for row in rows if row["name"] == name))


def _accepted(home: Path, known: set[Path]) -> int:
    """How many orders the demo that has just begun has noted in its journal."""
    journals = set((home / "journals").glob("*.jsonl")) - known
    return sum(journal.read_bytes().count(b"\n") for journal in journals)


def _finished(demo: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = demo.communicate(timeout=180)
    assert demo.returncode == 0, out[-2000:] + err[-2000:]
    summary: dict[str, Any] = json.loads(out.splitlines()[-1])
    return summary


@pytest.mark.parametrize("name", PROCESSES)
def test_the_demo_survives_the_killing_of(name: str, running: Uoop, eventually: Eventually) -> None:
    known = set((running.home / "journals").glob("*.jsonl"))
    pid = _pid(running, name)

    with running.start(*DEMO) as demo:
        eventually(lambda: _accepted(running.home, known) >= MIDDLE)
        os.kill(pid, signal.SIGKILL)
        summary = _finished(demo)

    assert summary["accepted"] == ORDERS
    assert (summary["lost"], summary["duplicates"], summary["audit"]) == (0, 0, "clean")
    assert _pid(running, name) != pid


def test_the_next_up_finishes_what_a_killed_supervisor_left(uoop: Uoop, eventually: Eventually) -> None:
    assert uoop("up", "--detach").returncode in (0, 2)  # 2: it runs already
    known = set((uoop.home / "journals").glob("*.jsonl"))

    with uoop.start(*DEMO) as demo:
        eventually(lambda: _accepted(uoop.home, known) >= MIDDLE)
        os.kill(_pid(uoop, "supervisor"), signal.SIGKILL)
        started = uoop("up", "--detach")
        summary = _finished(demo)

    assert started.returncode == 0, started.stderr
    assert (summary["accepted"], summary["lost"], summary["audit"]) == (ORDERS, 0, "clean")
