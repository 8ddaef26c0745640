"""What each knob does: a platform as it is set up by default, and one with the knob turned, in turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from benchmarks import figures, ground, sending
from benchmarks.pages import Section, table

TITLE = "What the knobs do"
MOST_S, CALM_S, WARM_UP_S = 10.0, 8.0, 4.0
CALM_RATE = 200.0  # orders a second: far from the maximum, cohorts are small
DEFAULTS_EVERY = 4  # knobs between two looks at the defaults: the machine changes too
FIGURES = ("orders_per_s", "cpu_ms", "calm_p50_ms", "calm_p99_ms", "calm_cpu_ms")


@dataclass(frozen=True, slots=True)
class Knob:
    """
    One turn of it.

    :param settings: of the platform, by the setting's name
    :param postgres: of the embedded Postgres, which has them in infra/embedded/postgres.py
    """

    settings: Mapping[str, object] = field(default_factory=dict)
    postgres: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        ours = [f"UOOP_{name.upper()}={int(value)}" for name, value in self.settings.items()]  # type: ignore[call-overload]
        return ", ".join([*ours, *(f"{name} = {value}" for name, value in self.postgres.items())])


KNOBS = (
    *(Knob({"front_slots": slots}) for slots in (1, 2, 6)),
    *(Knob({"lane_interval_ms": milliseconds}) for milliseconds in (0, 100, 500)),
    *(Knob({"cohort_size": size}) for size in (50, 250, 1_000)),
    *(Knob({"spread_from": size}) for size in (1, 5000)),
    *(Knob({"step_processes": count}) for count in (1, 4)),
    *(Knob({"partner_processes": count}) for count in (1, 4)),
    Knob({"control_processes": 1}),
    Knob({"api_workers": 2}),
    Knob({"hot_lane": False}),
    Knob({"flower": False}),
    Knob(postgres={"synchronous_commit": "off"}),
    Knob(postgres={"shared_buffers": "32MB"}),
    Knob(postgres={"wal_compression": "pglz"}),
    Knob(postgres={"wal_init_zero": "on"}),
    Knob(postgres={"io_method": "worker"}),
    Knob(postgres={"jit": "on"}),
    Knob(postgres={"max_wal_size": "128MB"}),
    Knob(
        postgres={
            "autovacuum_vacuum_threshold": "50",
            "autovacuum_analyze_threshold": "50",
            "autovacuum_analyze_scale_factor": "0.1",
        }
    ),
)


def measure(scale: float) -> dict[str, Any]:
    defaults: list[dict[str, float]] = []
    turned = {}
    for n, knob in enumerate(KNOBS):
        if n % DEFAULTS_EVERY == 0:
            defaults.append(_measured(Knob(), scale))
        turned[knob.name] = _measured(knob, scale)
    defaults.append(_measured(Knob(), scale))
    return {
        "defaults": {name: round(fmean(each[name] for each in defaults), 3) for name in FIGURES},
        "spread": {name: round(_spread([each[name] for each in defaults]), 3) for name in FIGURES},
        "turned": turned,
        "ratios": {
            name: {each: round(told[each] / _near(defaults, n)[each], 3) for each in FIGURES}
            for n, (name, told) in enumerate(turned.items())
        },
    }


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    rows = [[f"`{name}`", *ratios.values()] for name, ratios in found["ratios"].items()]
    rows.append(
        ["*what the defaults vary by in this run*", *(f"± {each:.0%}" for each in found["spread"].values())]
    )
    is_now = found["defaults"]
    return Section(
        "Each line is a platform of its own, that differs from the defaults in this alone, as a ratio to the defaults "
        f"measured before and after it ({is_now['orders_per_s']:,.0f} orders/s at {is_now['cpu_ms']:.2f} ms; at "
        f"{CALM_RATE:.0f} orders/s p50 {is_now['calm_p50_ms']:.0f} ms, p99 {is_now['calm_p99_ms']:.0f} ms, "
        f"{is_now['calm_cpu_ms']:.2f} ms). CPU is the platform's, of an order.\n\n"
        + table(
            [
                "knob",
                "orders/s at most",
                "CPU at most",
                *(f"{what} at {CALM_RATE:.0f}/s" for what in ("p50", "p99", "CPU")),
            ],
            rows,
        )
    )


def _measured(knob: Knob, scale: float) -> dict[str, float]:
    with ground.platform(postgres=knob.postgres, **knob.settings) as running:
        sending.at_most(running, WARM_UP_S * scale)
        calm = sending.at_rate(running, CALM_RATE, CALM_S * scale)
        full = sending.at_most(running, MOST_S * scale)
        return {
            "orders_per_s": full.ended_per_s(),
            "cpu_ms": _cpu_ms(full),
            "calm_p50_ms": (figures.percentile(calm.waits_s, 0.5) or 0.0) * 1e3,
            "calm_p99_ms": (figures.percentile(calm.waits_s, 0.99) or 0.0) * 1e3,
            "calm_cpu_ms": _cpu_ms(calm),
        }


def _cpu_ms(sent: sending.Sent) -> float:
    return sent.meter.platform_s / len(sent.promises) * 1e3


def _near(defaults: Sequence[Mapping[str, float]], n: int) -> dict[str, float]:
    """Between what the defaults did before and after the knob with this number."""
    before, after = defaults[n // DEFAULTS_EVERY], defaults[n // DEFAULTS_EVERY + 1]
    return {name: (before[name] + after[name]) / 2 for name in FIGURES}


def _spread(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / 2 / fmean(values)
