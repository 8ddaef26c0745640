"""The heat map of capacity: zones from top to bottom, windows from left to right."""

from collections.abc import Sequence
from datetime import datetime

from app import drawing
from app.capacity.usage import ZoneUsage
from app.drawing import Cell


def svg(found: Sequence[ZoneUsage], *, now: datetime) -> str:
    """The picture, as one SVG document; the colour is what share of the capacity is taken."""
    moments = sorted({each.window_from for each in found})
    return drawing.heat_map(
        f"Capacity at {now:%Y-%m-%d %H:%M} UTC",
        "Orders that hold a place, by zone and quarter of an hour; red: all is taken; +n: refused",
        sorted({each.zone for each in found}),
        [f"{moment:%H:%M}" for moment in moments],
        {(each.zone, f"{each.window_from:%H:%M}"): _cell(each) for each in found},
    )


def _cell(each: ZoneUsage) -> Cell:
    refused = f"+{each.refused}" if each.refused else ""
    capacity = "no limit" if each.capacity is None else f"of {each.capacity}"
    told = f"{each.zone} {each.window_from:%H:%M}: {each.taken} {capacity} taken, {each.refused} refused"
    return Cell(each.utilisation, f"{each.taken}{refused}", told)
