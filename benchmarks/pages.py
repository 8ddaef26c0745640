"""What a part has to say in docs/performance.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Section:
    """
    Markdown below the part's title.

    :param pictures: SVG documents by name, which the text shows as `performance/NAME.svg`
    """

    text: str
    pictures: Mapping[str, str] = field(default_factory=dict)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; None is a dash, numbers have thousands set apart."""
    lines = [_row(head), "|" + "---|" * len(head), *(_row([shown(cell) for cell in row]) for row in rows)]
    return "\n".join(lines) + "\n"


def shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def by_process(costs: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """
    A table of CPU by group of processes.

    :param costs: as `Meter.per` tells them, by the column's name
    """
    groups = list(dict.fromkeys(group for cost in costs.values() for group in cost if group != "platform"))
    first = [group for group in groups if group not in ("sandbox", "load generator", "Kafka (mock)")]
    rows: list[list[object]] = [[group, *(cost.get(group) for cost in costs.values())] for group in first]
    rows.append(["**the platform**", *(cost["platform"] for cost in costs.values())])
    rows += [
        [f"apart: {group}", *(cost.get(group) for cost in costs.values())]
        for group in groups
        if group not in first
    ]
    return table([f"CPU, {unit}", *costs], rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
