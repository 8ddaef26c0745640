"""Pictures of numbers by place and time: plain SVG that needs nothing from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

CELL_W, CELL_H, LABEL_W, MARGIN, HEAD_H = 46, 26, 150, 24, 92
_COOL, _HOT = (240, 249, 255), (185, 28, 28)
_STYLE = """
    text { font: 11px system-ui, sans-serif; fill: #1c2430 } .title { font-size: 17px; font-weight: 600 }
    .small { fill: #5b6675 } .cell { text-anchor: middle } .row { text-anchor: end } .light { fill: #ffffff }
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """
    One place at one time.

    :param heat: 0 to 1, its colour; more is drawn as 1, None is without colour
    :param label: some characters
    :param told: all that is known, shown when it is pointed at
    """

    heat: float | None
    label: str
    told: str


def heat_map(
    title: str, note: str, rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[str, str], Cell]
) -> str:
    """
    Draw rows from top to bottom and columns from left to right, as one SVG document.

    :param cells: by (row, column); what is missing stays empty
    """
    width = 2 * MARGIN + LABEL_W + max(len(columns), 8) * CELL_W
    height = HEAD_H + max(len(rows), 1) * CELL_H + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text class="title" x="{MARGIN}" y="34">{escape(title)}</text>',
        f'<text class="small" x="{MARGIN}" y="54">{escape(note)}</text>',
    ]
    for n, column in enumerate(columns):
        parts.append(
            f'<text class="small cell" x="{_left(n) + CELL_W / 2:g}" y="{HEAD_H - 8}">{escape(column)}</text>'
        )
    for m, row in enumerate(rows):
        top = HEAD_H + m * CELL_H
        shown = row if len(row) <= 22 else f"{row[:21]}…"
        parts.append(f'<text class="row" x="{MARGIN + LABEL_W - 8}" y="{top + 17}">{escape(shown)}</text>')
        parts += [
            _cell(cells[row, column], _left(n), top)
            for n, column in enumerate(columns)
            if (row, column) in cells
        ]
    return "\n".join([*parts, "</svg>", ""])


def _left(n: int) -> int:
    return MARGIN + LABEL_W + n * CELL_W


def _cell(cell: Cell, left: int, top: int) -> str:
    heat = min(1.0, max(0.0, cell.heat or 0.0))
    colour = "#f1f5f9" if cell.heat is None else _mixed(heat)
    light = " light" if heat > 0.55 else ""
    return (
        f'<g><title>{escape(cell.told)}</title><rect x="{left}" y="{top}" width="{CELL_W - 2}" '
        f'height="{CELL_H - 2}" rx="3" fill="{colour}"/><text class="cell{light}" x="{left + CELL_W / 2 - 1:g}" '
        f'y="{top + 16}">{escape(cell.label)}</text></g>'
    )


def _mixed(heat: float) -> str:
    return "#" + "".join(
        f"{round(cool + (hot - cool) * heat):02x}" for cool, hot in zip(_COOL, _HOT, strict=True)
    )
