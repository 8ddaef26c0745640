"""The same platform at rising load: latency, cohorts and the price of an order."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import text

from benchmarks import cost, figures, ground, sending, svg
from benchmarks.ground import Ground
from benchmarks.pages import Section, by_process, shown, table
from benchmarks.sending import Sent

TITLE = "From one order to the maximum"
RATES = (5.0, 20.0, 100.0, 500.0, 1_000.0, 2_000.0)
SECONDS, MOST_S, WARM_UP_S = 12.0, 15.0, 5.0
BELOW_THE_MOST = 0.95

_WRITTEN = text(
    "SELECT pg_database_size(current_database()) AS tables, "
    "pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS wal"
)


def measure(scale: float) -> dict[str, Any]:
    with ground.platform(kafka=True) as running:
        sending.at_most(running, WARM_UP_S * scale)
        before = _written(running)
        full = sending.at_most(running, MOST_S * scale)
        written = {name: (_written(running)[name] - before[name]) / len(full.promises) for name in before}
        most = full.ended_per_s()
        last = _point(running, full, most)
        rates = [rate for rate in RATES if rate < BELOW_THE_MOST * most]
        points = [_point(running, sending.at_rate(running, rate, SECONDS * scale), rate) for rate in rates]
    return {
        "points": [*points, last],
        "above_the_maximum": [rate for rate in RATES if rate not in rates],
        "bytes_per_order": {name: round(size) for name, size in written.items()},
    }


def tell(found: dict[str, Any], others: Mapping[str, Any]) -> Section:
    points = found["points"]
    peers = others.get("peers", {})
    celery_ms = peers.get("celery", {}).get("cpu_ms_per_order")
    series = {"UOOP": [(point["rate"], point["cpu_ms"]["platform"]) for point in points]}
    if celery_ms:
        series["plain Celery"] = [(points[0]["rate"], celery_ms), (points[-1]["rate"], celery_ms)]
    pictures = {
        "cost-per-order": svg.lines(
            "CPU of an order", series, x="orders/s", y="ms of CPU", log_x=True, log_y=True
        ),
        "latency": svg.lines(
            "From POST to CONFIRMED",
            {
                name: [(point["rate"], point[f"{name}_ms"]) for point in points if point[f"{name}_ms"]]
                for name in ("p50", "p99")
            },
            x="orders/s",
            y="ms",
            log_x=True,
            log_y=True,
        ),
        "cohorts": svg.lines(
            "Orders that travel together",
            {"in a cohort": [(point["rate"], max(point["cohort_size"], 0.1)) for point in points]},
            x="orders/s",
            y="orders",
            log_x=True,
            log_y=True,
        ),
    }
    rows = [
        [
            "maximum" if point is points[-1] else "",
            point["rate"],
            point["p50_ms"],
            point["p99_ms"],
            point["cohort_size"],
            point["cpu_ms"]["platform"],
            point["cores"],
        ]
        for point in points
    ]
    above = found["above_the_maximum"]
    said = (
        f" Not measured, since above the maximum: {', '.join(shown(rate) for rate in above)}."
        if above
        else ""
    )
    return Section(
        "All real steps, providers in bulk as above, an open loop at each rate; the maximum is a closed loop whose "
        "slowest twentieth takes about a second. The CPU of an order is all that the platform's processes use, idling "
        f"included, over its orders.{said}\n\n"
        + table(
            ["", "orders/s", "p50 ms", "p99 ms", "orders in a cohort", "CPU ms an order", "cores of it"], rows
        )
        + "\n"
        + "\n".join(f"![{name}](performance/{name}.svg)" for name in pictures)
        + f"\n\n{_falls(points)} {_crossover(points, celery_ms)}\n\n"
        + by_process({shown(point["rate"]): point["cpu_ms"] for point in points}, "ms an order, at orders/s")
        + f"\n## What an order costs\n{_costs(points, found['bytes_per_order'])}",
        pictures,
    )


def _point(running: Ground, sent: Sent, rate: float) -> dict[str, Any]:
    count, size = sending.cohorts(running, sent)
    return {
        "rate": round(rate, 1),
        "orders": len(sent.promises),
        **figures.milliseconds(sent.waits_s),
        "cohorts": count,
        "cohort_size": size,
        "cpu_ms": sent.meter.per(len(sent.promises)),
        "cores": round(sent.meter.platform_s / sent.meter.wall_s, 3),
        "shed": sent.tally.shed,
        "unended": sent.unended,
        "sent_late_s": round(sent.tally.behind_s, 3),
    }


def _written(running: Ground) -> dict[str, float]:
    with running.engine.connect() as connection:
        return {name: float(size) for name, size in connection.execute(_WRITTEN).one()._mapping.items()}


def _falls(points: Sequence[Mapping[str, Any]]) -> str:
    rises = [
        f"from {shown(low['rate'])} to {shown(high['rate'])} orders/s"
        for low, high in pairwise(points)
        if high["cpu_ms"]["platform"] > low["cpu_ms"]["platform"]
    ]
    return (
        f"The CPU of an order **rises** {', '.join(rises)}."
        if rises
        else "The CPU of an order falls from each rate to the next."
    )


def _crossover(points: Sequence[Mapping[str, Any]], celery_ms: float | None) -> str:
    """Where an order begins to be cheaper than on plain Celery, whose order costs the same at any load."""
    if celery_ms is None:
        return ""
    cheaper = [point["rate"] for point in points if point["cpu_ms"]["platform"] < celery_ms]
    if not cheaper:
        return (
            f"Plain Celery's {shown(celery_ms)} ms an order, with steps that do nothing, was never undercut."
        )
    said = (
        f"below {shown(cheaper[0])}"
        if cheaper[0] == points[0]["rate"]
        else f"at {shown(cheaper[0])} or below"
    )
    return (
        f"A plain Celery chain and chord whose steps do nothing takes {shown(celery_ms)} ms an order at saturation; "
        f"the platform with its real steps and with all that runs beside them is cheaper from {said} orders/s on."
    )


def _costs(points: Sequence[Mapping[str, Any]], written: Mapping[str, float]) -> str:
    priced = cost.prices()
    curve = sorted(points, key=lambda point: point["rate"])
    kb = written["tables"] / 1024
    costs = [cost.at(volume, curve, kb, priced) for volume in cost.VOLUMES]
    grown = {v: cost.growth(v, curve, kb, priced) for v in cost.VOLUMES}
    rows = [
        [
            each.orders_per_s,
            each.pieces,
            *each.vcpus.values(),
            f"{each.vcpu_hours_per_order:.2e}",
            f"${each.usd_per_order * 1_000:.4f}",
            f"{grown[each.orders_per_s]:+.0%}",
        ]
        for each in costs
    ]
    dearer = [v for v in grown if grown[v] > cost.GROWTH_EXPLAINED_ABOVE]
    dear = [each.orders_per_s for each in costs if each.usd_per_order >= cost.ALLOWED_USD]
    return (
        f"The measured CPU at list prices ([benchmarks/prices.json](../benchmarks/prices.json), to be edited: "
        f"{priced['source']}), machines {priced['utilisation']:.0%} busy, databases twice, "
        f"{written['tables'] / 1024:.1f} KB of tables an order kept {priced['storage']['kept_days']} days "
        f"({written['wal'] / 1024:.1f} KB of WAL). Up to the maximum, the CPU of an order is read off this curve; "
        "beyond it, that many pieces stand side by side, databases included. Kafka's CPU is an assumption, since the "
        "mock's says nothing.\n\n"
        + table(
            [
                "orders/s",
                "pieces",
                "vCPU compute",
                "Postgres",
                "Redis",
                "Kafka",
                "vCPU-hours an order",
                "1,000 orders",
                "an order at ten times the volume",
            ],
            rows,
        )
        + (
            f"\nAt {_all(dear)} orders/s an order costs ${cost.ALLOWED_USD} or more.\n"
            if dear
            else f"\nBelow ${cost.ALLOWED_USD} an order at every volume. "
        )
        + (
            f"It grows by more than a tenth from {_all(dearer)} orders/s to ten times that: whole machines are rented, "
            "and what was read off the curve at partial load is then the maximum's.\n"
            if dearer
            else "From no volume to ten times it does an order grow dearer by more than a tenth: cohorts grow with the "
            "load, least sizes are spread over more orders, and pieces side by side cost what one does.\n"
        )
    )


def _all(volumes: Sequence[int]) -> str:
    return ", ".join(shown(volume) for volume in volumes)
