"""The same order on a plain Celery chain and chord, on DBOS, on Restate and here."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benchmarks import figures, ground, sending
from benchmarks.cpu import APART, Meter
from benchmarks.ground import Ground
from benchmarks.pages import Section, shown, table
from benchmarks.peers import environment
from benchmarks.peers.peer import NUMBERS_OF_A_PRODUCER, PEERS, Peer
from infra import running as stack
from infra.audit import audit
from infra.kept import folder as made

TITLE = "Against what else carries sagas"
SATURATED_S, AT_70_S, KILLED_S, WARM_UP_S = 12.0, 8.0, 8.0, 4.0
INSIDE = 100
WARM_UP, SATURATED, AT_70, KILLED = 10_000, 1_000_000, 2_000_000, 3_000_000  # numbers of their first orders
PATIENCE_S = 20.0  # after the killed worker is back
DOWN_FOR_S = 1.0
FAILURE_RATE = 0.1
OURS = {"uoop-noop": "UOOP, steps that do nothing", "uoop": "UOOP, its real steps"}
_NAMES = {"celery": "Celery 5.7 chain + chord", "dbos": "DBOS 3.4", "restate": "Restate 1.7", **OURS}


def measure(scale: float) -> dict[str, Any]:
    environment.make()
    found = {name: _peer(name, scale) for name in PEERS}
    found["uoop-noop"] = _ours(scale, noop=True)
    found["uoop"] = _ours(scale, noop=False)
    return found


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    rows, killed = [], []
    for name, told in found.items():
        if "missing" in told:
            rows.append([_NAMES[name], told["missing"], None, None, None, None])
            continue
        times = [told["cpu_ms_per_order"] / found[each]["cpu_ms_per_order"] for each in OURS]
        rows.append(
            [
                _NAMES[name],
                told["orders_per_s"],
                told["p99_ms"],
                told["cpu_ms_per_order"],
                *(None if name in OURS else f"{figures.rounded(each):g} x" for each in times),
            ]
        )
        of = told["killed"]
        killed.append([_NAMES[name], of["taken"], of["unended"], of["twice"], of["slowest_s"]])
    parts = "; ".join(
        f"{_NAMES[name]}: "
        + ", ".join(f"{group} {shown(cpu)}" for group, cpu in sorted(told["cpu_ms_by_process"].items()))
        for name, told in found.items()
        if "missing" not in told
    )
    return Section(
        "The same order everywhere: five steps that do nothing, the second and third side by side, and one order in "
        "ten refused at the fourth, whose second and third are then undone. All in the same run, one after the other, "
        f"with {INSIDE} orders inside at saturation (ours adapts the number to a second's wait); p99 in an open loop "
        "at 70 % of that.\n\n"
        + table(
            ["", "orders/s", "p99 ms at 70 %", "CPU ms an order", "times UOOP no-op", "times UOOP real"], rows
        )
        + f"\nCPU of an order by process, in ms: {parts}. Ours holds the API with its authentication, limits and "
        "durable 202, the relay to Redis, Flower and beat; theirs holds the submitting of the order by its own "
        "library, and no HTTP in front of it (Restate's ingress is its own). Load generators and our "
        "sandbox are left out.\n\n"
        "Settings, as their documentation recommends: Celery with acks_late and reject_on_worker_lost on Redis with an "
        "append-only file, prefork with a process a core, results kept only where the chord needs them; DBOS with two "
        "processes that take and run the workflows, async steps, on the same Postgres as ours; Restate's server with "
        "its defaults, and its Python SDK in hypercorn with two workers. With our real steps half of the "
        "refused orders are refused by payment already.\n\n"
        "A worker killed with -9 at saturation, and back after a second (ours by its supervisor): Celery's and "
        "Restate's with all their processes, one of DBOS's two, our worker of steps. What had not ended "
        f"{PATIENCE_S:.0f} s later, and what came to its last step twice:\n\n"
        + table(["", "orders taken", "not ended", "ended twice", "slowest s"], killed)
        + f"\nWhether an effect came twice with us, the audit recomputes: {found['uoop']['audit']}. Celery's Redis "
        "transport hands out again what a killed worker held once its visibility timeout is over, an hour by default: "
        "not lost for ever, but for longer than a meal stays warm.\n"
    )


def _peer(name: str, scale: float) -> dict[str, Any]:
    made(Path(".uoop"))
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=".uoop")).resolve()
    try:
        with ExitStack() as running:
            peer = PEERS[name](folder, running)
            peer.submit(WARM_UP, WARM_UP_S * scale, 0.0, INSIDE)
            _emptied(peer)
            return _measured(peer, scale)
    except environment.Missing as missing:
        return {"missing": str(missing)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(peer: Peer, scale: float) -> dict[str, Any]:
    before = len(peer.submitted())
    with Meter(None, peer.families) as meter:
        peer.submit(SATURATED, SATURATED_S * scale, 0.0, INSIDE)
        _emptied(peer)
    orders = len(peer.submitted()) - before
    most = figures.throughput(sorted(at for n, _, at in peer.ends() if _number(n) >= SATURATED))
    peer.submit(AT_70, AT_70_S * scale, 0.7 * most, 0)
    _emptied(peer)
    moments = {n: at for n, at in peer.submitted().items() if _number(n) >= AT_70}
    waits_s = sorted(at - moments[n] for n, _, at in peer.ends() if n in moments)
    return {
        "orders": orders,
        "orders_per_s": round(most, 1),
        **figures.milliseconds(waits_s),
        **_costs(meter, orders),
        "killed": _killed(peer, KILLED_S * max(scale, 0.3)),
    }


def _number(name: str) -> int:
    """Within its producer's."""
    return int(name) % NUMBERS_OF_A_PRODUCER


def _costs(meter: Meter, orders: int) -> dict[str, Any]:
    by_process = {name: spent / orders * 1e3 for name, spent in meter.spent.items()}
    own = sum(spent for name, spent in by_process.items() if name not in APART)
    return {
        "cpu_ms_per_order": figures.rounded(own),
        "cpu_ms_by_process": {name: figures.rounded(spent) for name, spent in by_process.items()},
    }


def _killed(peer: Peer, seconds: float) -> dict[str, Any]:
    def kill() -> None:
        time.sleep(seconds / 2)
        peer.kill_worker()
        time.sleep(DOWN_FOR_S)
        peer.start_worker()

    killer = threading.Thread(target=kill)
    killer.start()
    peer.submit(KILLED, seconds, 0.0, INSIDE)
    killer.join()
    _emptied(peer, PATIENCE_S)
    moments = {n: at for n, at in peer.submitted().items() if _number(n) >= KILLED}
    ends = [(n, at) for n, _, at in peer.ends() if n in moments]
    counted = Counter(n for n, _ in ends)
    return {
        "taken": len(moments),
        "unended": len(moments) - len(counted),
        "twice": sum(count > 1 for count in counted.values()),
        "slowest_s": round(max((at - moments[n] for n, at in ends), default=0.0), 1),
    }


def _emptied(peer: Peer, within_s: float = 20.0) -> None:
    """Wait until all that was taken has ended, within the bound."""
    end = time.monotonic() + within_s
    while time.monotonic() < end and peer.submitted().keys() - {name for name, _, _ in peer.ends()}:
        time.sleep(0.25)


def _ours(scale: float, *, noop: bool) -> dict[str, Any]:
    with ground.platform(noop=noop) as running:
        sending.at_most(running, WARM_UP_S * scale, failure_rate=FAILURE_RATE)
        full = sending.at_most(running, SATURATED_S * scale, failure_rate=FAILURE_RATE)
        most = full.ended_per_s()
        part = sending.at_rate(running, 0.7 * most, AT_70_S * scale, failure_rate=FAILURE_RATE)
        found = {
            "orders": len(full.promises),
            "orders_per_s": round(most, 1),
            **figures.milliseconds(part.waits_s),
            **_costs(full.meter, len(full.promises)),
            "killed": _our_worker_killed(running, KILLED_S * max(scale, 0.3)),
        }
        if noop:
            return found
        report = audit(running.settings, [full.path, part.path], settled=True)
        return found | {"audit": "clean" if report.clean else "\n".join(report.lines)}


def _our_worker_killed(running: Ground, seconds: float) -> dict[str, Any]:
    (worker,) = (row for row in stack.rows(running.settings) if row.name == "worker-steps")
    family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]

    def kill() -> None:
        time.sleep(seconds / 2)
        for each in family:
            os.kill(each.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    sent = sending.at_most(running, seconds, failure_rate=FAILURE_RATE)
    killer.join()
    return {
        "taken": len(sent.promises),
        "unended": sent.unended,
        "twice": None,  # an order has one state; whether an effect came twice is the audit's to say
        "slowest_s": round(max(sent.waits_s, default=0.0), 1),
    }
