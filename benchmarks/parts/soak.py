"""A quarter of an hour at a steady load: what grows?"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks import figures, ground, sending, svg
from benchmarks.ground import Ground
from benchmarks.pages import Section, table
from infra import running as stack
from infra.audit import audit

TITLE = "A quarter of an hour"
SECONDS, LOOK_EVERY_S = 900.0, 10.0
RATE, FAILURE_RATE = 200.0, 0.02
KEEP_DATA = ("redis", "sandbox")  # what they keep grows with the orders, until it expires
MAY_GROW, AND_MB, AND_FILES = 0.05, 8.0, 8


def measure(scale: float) -> dict[str, Any]:
    sent: list[sending.Sent] = []
    with ground.platform() as running:

        def send() -> None:
            sent.append(sending.at_rate(running, RATE, SECONDS * scale, failure_rate=FAILURE_RATE))

        sender = threading.Thread(target=send)
        sender.start()
        looks = []
        while sender.is_alive():
            looks.append(_look(running))
            sender.join(LOOK_EVERY_S * min(1.0, scale * 4))
        report = audit(running.settings, [sent[0].path], settled=True)
    growth = {name: _growth([look[name] for look in looks if name in look]) for name in looks[0]}
    return {
        "orders": len(sent[0].promises),
        "orders_per_s": RATE,
        **figures.milliseconds(sent[0].waits_s),
        "unended": sent[0].unended,
        "audit": "clean" if report.clean else "\n".join(report.lines),
        "growth": growth,
        "memory_mb": {name: [look[name][0] for look in looks if name in look] for name in looks[0]},
        "broken": [*_grown(growth), *([] if report.clean else ["the audit is not clean"])],
    }


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    rows = [
        [name, *told["memory_mb"], *told["files"], "keeps data" if name in KEEP_DATA else "flat"]
        for name, told in found["growth"].items()
    ]
    for row in rows:
        if any(problem.startswith(f"{row[0]}:") for problem in found["broken"]):
            row[-1] = "**grows**"
    series = {
        name: list(enumerate(values)) for name, values in found["memory_mb"].items() if max(values) > 50.0
    }
    return Section(
        f"{found['orders']:,} orders at {found['orders_per_s']:.0f} a second, {FAILURE_RATE:.0%} of them refused: p50 "
        f"{found['p50_ms']} ms, p99 {found['p99_ms']} ms, audit {found['audit']}. Memory is what processes have for "
        "themselves (anonymous pages), files are open descriptors; medians of the second and of the last third of "
        "the time.\n\n"
        + table(["process", "MB: second third", "last third", "files: second third", "last third", ""], rows)
        + "\n![memory](performance/memory.svg)\n",
        {"memory": svg.lines("Memory", series, x="look", y="MB")},
    )


def _look(running: Ground) -> dict[str, tuple[float, int]]:
    """Memory in MB and open files of each process with all below it."""
    found = {}
    for row in stack.rows(running.settings):
        if row.pid:
            with suppress(psutil.NoSuchProcess):
                below = [] if row.name == "supervisor" else psutil.Process(row.pid).children(recursive=True)
                pids = [row.pid, *(child.pid for child in below)]
                found[row.name] = (round(sum(map(_memory_mb, pids)), 1), sum(map(_files, pids)))
    return found


def _memory_mb(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _files(pid: int) -> int:
    with suppress(OSError):
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return 0


def _growth(looks: Sequence[tuple[float, int]]) -> dict[str, list[float]]:
    third = max(1, len(looks) // 3)
    spans = (looks[third : 2 * third] or looks, looks[-third:])
    return {
        "memory_mb": [round(median(memory for memory, _ in span), 1) for span in spans],
        "files": [median(files for _, files in span) for span in spans],
    }


def _grown(growth: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """Who has clearly more in the last third than in the second, the data's keepers aside."""
    found = []
    for name, told in growth.items():
        (memory, then), (files, later) = told["memory_mb"], told["files"]
        if name not in KEEP_DATA and then > memory * (1 + MAY_GROW) + AND_MB:
            found.append(f"{name}: memory grew from {memory:.0f} to {then:.0f} MB")
        if later > files * (1 + MAY_GROW) + AND_FILES:
            found.append(f"{name}: open files grew from {files:.0f} to {later:.0f}")
    return found
