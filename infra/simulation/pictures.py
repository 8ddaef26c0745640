"""A plan as a map, and a day before and after, as SVG."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from xml.sax.saxutils import escape

from app.optimization.pool.model import Plan, Spot
from infra.simulation.instance import door
from infra.simulation.world import World

WIDTH, HEIGHT, MARGIN = 900.0, 620.0, 46.0
INK, QUIET, KITCHEN, DOOR, COURIER, FREE = "#222", "#bbb", "#c2410c", "#1d4ed8", "#15803d", "#9ca3af"
_HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" font-family="sans-serif" '
    f'font-size="13" fill="{INK}">\n<rect width="100%" height="100%" fill="white"/>'
)


class _Frame:
    """Metres to pixels, with one scale for both axes."""

    def __init__(self, spots: Sequence[Spot]) -> None:
        self._left, self._low = min(s.x for s in spots), min(s.y for s in spots)
        wide, high = max(s.x for s in spots) - self._left, max(s.y for s in spots) - self._low
        self._scale = min((WIDTH - 2 * MARGIN) / max(wide, 1.0), (HEIGHT - 2 * MARGIN - 20) / max(high, 1.0))

    def __call__(self, spot: Spot) -> tuple[float, float]:
        x = MARGIN + (spot.x - self._left) * self._scale
        return x, HEIGHT - MARGIN - (spot.y - self._low) * self._scale


def plan_map(world: World, plan: Plan) -> str:
    """Where couriers ride (dashed), what they fetch and bring (whole), and what waits: of what is open right now."""
    starts = {trip.courier: world.couriers[trip.courier].at for trip in plan.trips}
    idle = [
        c.at for c in world.couriers.values() if c.id not in starts and c.free_at <= world.now <= c.off_at
    ]
    kitchens = {order.restaurant: world.instance.pickup(order) for order in world.open.values()}
    doors = {id: door(order) for id, order in world.open.items()}
    frame = _Frame([*starts.values(), *idle, *kitchens.values(), *doors.values()])
    parts = [_HEAD]
    for trip in plan.trips:
        kitchen = kitchens[trip.kitchen]
        parts.append(_line([frame(starts[trip.courier]), frame(kitchen)], COURIER, "5 4"))
        parts.append(_line([frame(kitchen), *(frame(doors[id]) for id in trip.orders)], DOOR))
    parts += [_dot(frame(at), FREE) for at in idle]
    parts += [_dot(frame(at), COURIER) for at in starts.values()]
    parts += [_dot(frame(at), "white" if id in plan.left else DOOR, 4) for id, at in doors.items()]
    parts += [_square(frame(at), KITCHEN) for at in kitchens.values()]
    parts.append(
        _text(
            MARGIN,
            24,
            f"{world.instance.name}, minute {world.now}: {len(world.open)} orders wait, {len(plan.trips)} trips",
        )
    )
    keys = [
        ("kitchen", KITCHEN),
        ("door (white: waits)", DOOR),
        ("courier with a trip", COURIER),
        ("without", FREE),
    ]
    for n, (word, color) in enumerate(keys):
        parts += [
            _dot((MARGIN + n * 170, HEIGHT - 18), color),
            _text(MARGIN + 12 + n * 170, HEIGHT - 13, word),
        ]
    return "\n".join([*parts, "</svg>\n"])


def day_chart(before: World, after: World, names: tuple[str, str]) -> str:
    """Mean click-to-door by the hour of placement, under two policies, over the orders of each hour."""
    series = [_by_hour(before), _by_hour(after)]
    placed: dict[int, int] = defaultdict(int)
    for order in before.instance.orders:
        placed[order.minute // 60] += 1
    hours = range(min(placed), max(placed) + 1)
    top = max(max(line.values(), default=1.0) for line in series) * 1.1
    step = (WIDTH - 2 * MARGIN) / max(1, len(hours) - 1)

    def at(hour: int, minutes: float) -> tuple[float, float]:
        return MARGIN + (hour - hours[0]) * step, HEIGHT - MARGIN - minutes / top * (HEIGHT - 2 * MARGIN - 20)

    parts = [_HEAD, _text(MARGIN, 24, f"{before.instance.name}: mean minutes from click to door, by hour")]
    most = max(placed.values())
    for hour in hours:
        x, _ = at(hour, 0)
        high = placed[hour] / most * 70
        parts.append(
            f'<rect x="{x - step * 0.3:.1f}" y="{HEIGHT - MARGIN - high:.1f}" width="{step * 0.6:.1f}" '
            f'height="{high:.1f}" fill="#e5e7eb"/>'
        )
        parts.append(_text(x - 8, HEIGHT - MARGIN + 16, str(hour % 24)))
    for minutes in range(0, int(top) + 1, max(10, round(top / 6 / 10) * 10)):
        parts += [
            _line([at(hours[0], minutes), at(hours[-1], minutes)], QUIET, "1 4"),
            _text(12, at(0, minutes)[1] + 4, str(minutes)),
        ]
    for n, (line, color) in enumerate(zip(series, (KITCHEN, DOOR), strict=True)):
        parts.append(_line([at(hour, line[hour]) for hour in hours if hour in line], color, width=2.5))
        parts += [
            _dot((WIDTH - 260, 40 + n * 18), color),
            _text(WIDTH - 248, 45 + n * 18, f"{names[n]} ({_delivered(before if n == 0 else after)})"),
        ]
    parts.append(_text(WIDTH - 248, 81, "grey: orders placed"))
    return "\n".join([*parts, "</svg>\n"])


def _by_hour(world: World) -> dict[int, float]:
    waits: dict[int, list[int]] = defaultdict(list)
    for one in world.fetched:
        for order, at in zip(one.orders, one.doors, strict=True):
            waits[order.minute // 60].append(at - order.minute)
    return {hour: fmean(values) for hour, values in waits.items()}


def _delivered(world: World) -> str:
    count = sum(len(one.orders) for one in world.fetched)
    return f"{count} of {len(world.instance.orders)} delivered"


def _line(points: Iterable[tuple[float, float]], color: str, dashes: str = "none", width: float = 1.4) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    stroke = f'stroke="{color}" stroke-width="{width}" stroke-dasharray="{dashes}"'
    return f'<polyline points="{path}" fill="none" {stroke}/>'


def _dot(at: tuple[float, float], color: str, radius: float = 5) -> str:
    return f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius}" fill="{color}" stroke="{INK}" stroke-width="0.6"/>'


def _square(at: tuple[float, float], color: str) -> str:
    return f'<rect x="{at[0] - 5:.1f}" y="{at[1] - 5:.1f}" width="10" height="10" fill="{color}"/>'


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
