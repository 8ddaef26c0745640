"""A line plot as SVG, with logarithmic axes where wanted: enough for a page of measurements."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 34, 44
COLORS = ("#1f6fb2", "#c8452f", "#3d8a3d", "#8757a5", "#9a6b1f", "#4a4a4a")
_TICKS = 5


def lines(
    title: str,
    series: Mapping[str, Points],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """
    Draw each series as a line with its points; axes that are not logarithmic begin at 0.

    :param series: points by name, at least one; positive where the axis is logarithmic
    :param x: the axis' name with its unit, as `y`
    """
    across = _axis([px for points in series.values() for px, _ in points], log=log_x)
    up = _axis([py for points in series.values() for _, py in points], log=log_y)

    def place(px: float, py: float) -> tuple[float, float]:
        return (
            LEFT + across.share(px) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up.share(py) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="18" font-size="13">{escape(title)}</text>',
        *_grid(across, up, place),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>',
        f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y)}</text>",
    ]
    for nth, (name, points) in enumerate(series.items()):
        parts += _line(name, [place(*point) for point in points], nth)
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Axis:
    def __init__(self, ticks: Sequence[float], scaled: Callable[[float], float]) -> None:
        self.ticks = ticks
        self._scaled, self._from, self._until = scaled, scaled(ticks[0]), scaled(ticks[-1])

    def share(self, value: float) -> float:
        """Where the value lies, 0 at the axis' begin and 1 at its end."""
        return (self._scaled(value) - self._from) / (self._until - self._from)


def _axis(values: Sequence[float], *, log: bool) -> _Axis:
    if log:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return _Axis([10.0**power for power in range(first, max(last, first + 1) + 1)], math.log10)
    rough = (max(values) or 1.0) / _TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return _Axis([step * n for n in range(max(1, math.ceil(max(values) / step)) + 1)], float)


def _grid(across: _Axis, up: _Axis, place: Callable[[float, float], tuple[float, float]]) -> list[str]:
    found = []
    for tick in across.ticks:
        at, _ = place(tick, up.ticks[0])
        found.append(f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>')
        found.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:,g}</text>')
    for tick in up.ticks:
        _, at = place(across.ticks[0], tick)
        found.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>')
        found.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tick:,g}</text>')
    return found


def _line(name: str, places: Sequence[tuple[float, float]], nth: int) -> list[str]:
    color = COLORS[nth % len(COLORS)]
    drawn = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
    dots = [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.5" fill="{color}"/>' for px, py in places[:40]]
    legend_x, legend_y = WIDTH - RIGHT + 14, TOP + 10 + nth * 18
    return [
        f'<polyline points="{drawn}" fill="none" stroke="{color}" stroke-width="1.6"/>',
        *(dots if len(places) <= 40 else []),
        f'<path d="M{legend_x} {legend_y - 4}h16" stroke="{color}" stroke-width="2"/>',
        f'<text x="{legend_x + 21}" y="{legend_y}">{escape(name)}</text>',
    ]
