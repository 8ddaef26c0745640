"""
Measured figures inside pages that people write.

A page has a place for them between two comments, `<!-- measured: NAME -->` and `<!-- end -->`; NAME is a function here.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import cost, targets
from benchmarks.pages import shown, table
from benchmarks.parts import knobs as knobs_part
from sagas.engine import Limits

PAGES = (Path("README.md"), Path("docs/scaling.md"), Path("docs/tuning.md"))
HOSTS = Path("benchmarks/results/hosts.json")
COHORT = Limits().cohort_size
EVENTS_PER_ORDER = 2
_PLACE = re.compile(r"(<!-- measured: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
_LEVERS = {
    "API": "`UOOP_API_WORKERS`; more hosts with `UOOP_ONLY=api`",
    "workers, beat": "the `UOOP_..._PROCESSES`; more hosts with `UOOP_ONLY=workers`",
    "Postgres": "a larger machine behind `UOOP_DATABASE_URL`",
    "Redis": "a Redis for each role",
}

Found = Mapping[str, Any]


def filled(page: str, found: Found) -> str:
    """
    The page with its places filled.

    :param found: by part, and what `make hosts` has found as "hosts"
    """

    def block(place: re.Match[str]) -> str:
        try:
            told = BLOCKS[place[2]](found)
        except LookupError:
            told = "*Not measured yet.*\n"
        return place[1] + told

    return _PLACE.sub(block, page)


def places(page: str) -> list[str]:
    """Their names, in order."""
    return [place[2] for place in _PLACE.finditer(page)]


def write(found: Found) -> None:
    """Fill the places of all pages, with what hosts told too."""
    hosts = json.loads(HOSTS.read_text()) if HOSTS.exists() else {}
    for page in PAGES:
        page.write_text(filled(page.read_text(), {**found, "hosts": hosts}))


def tiers(found: Found) -> str:
    """What each part of the platform takes of a core for an order."""
    points = found["load_curve"]["points"]
    most, few = points[-1], points[0]
    rows = [
        [
            group,
            lever,
            few["cpu_ms"].get(group),
            most["cpu_ms"].get(group),
            round(1e3 / most["cpu_ms"][group]) if most["cpu_ms"].get(group) else None,
        ]
        for group, lever in _LEVERS.items()
    ]
    head = [
        f"CPU ms at {shown(few['rate'])}/s",
        f"at the maximum, {shown(most['rate'])}/s",
        "orders/s of a core then",
    ]
    return table(["", "scaled by", *head], rows)


def relays(found: Found) -> str:
    """What the sequencer and the relays, of which one of each works, can do."""
    rates = found["relay"]["rates"]
    rows = [
        [name, told["events_per_s"], round(told["events_per_s"] / EVENTS_PER_ORDER)]
        for name, told in rates.items()
    ]
    return table(["one at a time", "events/s", f"orders/s, of {EVENTS_PER_ORDER} events"], rows)


def volumes(found: Found) -> str:
    """What so many orders a second would take."""
    curve = sorted(found["load_curve"]["points"], key=lambda point: float(point["rate"]))
    carried_s, wal = curve[-1]["p50_ms"] / 1e3, found["load_curve"]["bytes_per_order"]["wal"]
    rows = []
    for volume in cost.VOLUMES:
        cores = {group: volume * cost.cpu_ms(curve, volume, group) / 1e3 for group in _LEVERS}
        slots = max(3, math.ceil(volume * carried_s / COHORT))
        rows.append([volume, *cores.values(), slots, EVENTS_PER_ORDER * volume, volume * wal / 2**20])
    return table(
        ["orders/s", *(f"cores: {group}" for group in _LEVERS), "front slots", "events/s", "WAL MB/s"], rows
    )


def hosts(found: Found) -> str:
    """One host of workers against two."""
    scale = found["hosts"]["scale"]
    told = scale["found"]
    rows = [
        [
            number,
            told[number]["orders_per_s"],
            told[number]["p50_ms"],
            told[number]["p99_ms"],
            sum(spent for name, spent in told[number]["cpu_ms"].items() if name.startswith("worker")),
        ]
        for number in ("1", "2")
    ]
    return (
        f"{_when(scale)}, each host of workers bound to {told['cores']} of a core: two carry **{told['ratio']} times** "
        "the orders of one.\n\n"
        + table(["hosts of workers", "orders/s", "p50 ms", "p99 ms", "CPU ms of the workers, an order"], rows)
    )


def cut_off(found: Found) -> str:
    """One host of workers cut off, of two."""
    cut = found["hosts"]["cut"]
    off = cut["found"]
    return (
        f"{_when(cut)}, one of two cut off: it had {off['held']} cohorts in its hands, and {off['under_way']} were "
        f"under way; all of these had ended after {off['all_ended_after_s']} s without it. "
        f"{off['confirmed_meanwhile']:,} orders were confirmed meanwhile, with {off['longest_pause_s']} s between two "
        f"of them at most. It worked again {off['works_again_after_s']} s after its network was back. Audit: "
        f"{'; '.join(off['broken']) or 'clean'}.\n"
    )


def knobs(found: Found) -> str:
    """What each knob does."""
    return knobs_part.tell(found["knobs"], {}).text


def _when(part: Found) -> str:
    on = part["machine"]
    return f"{on['at']}, version {on['version']}, load average {on['load_average']}"


BLOCKS: Mapping[str, Callable[[Found], str]] = {
    "targets": targets.told,
    "tiers": tiers,
    "relays": relays,
    "volumes": volumes,
    "cut_off": cut_off,
    "hosts": hosts,
    "knobs": knobs,
}
