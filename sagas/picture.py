"""
A saga drawn from its definition: stages from left to right, what runs side by side below each other, the pivot
marked, and under each step how it is undone. Plain SVG that needs nothing from outside.
"""

from html import escape

from sagas.definition import Saga, Step

BOX_W, BOX_H, GAP_X, GAP_Y, MARGIN = 190, 62, 44, 26, 24
HEAD_H = 56
_STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #1c2430 } .name { font-weight: 600 }
    .small { font-size: 11px; fill: #5b6675 } .undo { fill: #9a3412 } .title { font-size: 17px; font-weight: 600 }
    .step { fill: #ffffff; stroke: #8a97a8; stroke-width: 1.2 } .pivot { stroke: #0f766e; stroke-width: 3 }
    .arrow { stroke: #8a97a8; stroke-width: 1.4; fill: none; marker-end: url(#tip) }
    .gate { stroke: #0f766e; stroke-width: 1.4; stroke-dasharray: 5 4 } .gate-text { font-size: 11px; fill: #0f766e }
"""


def svg(saga: Saga) -> str:
    """The picture, as one SVG document."""
    rows = max(len(stage.steps) for stage in saga.stages)
    width = 2 * MARGIN + len(saga.stages) * BOX_W + (len(saga.stages) - 1) * GAP_X
    height = HEAD_H + rows * BOX_H + (rows - 1) * GAP_Y + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="The saga {escape(saga.name)}">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#8a97a8"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#f6f8fa"/>',
        f'<text class="title" x="{MARGIN}" y="34">{escape(saga.name)}, version {saga.version}</text>',
    ]
    middle = HEAD_H + MARGIN + (rows * BOX_H + (rows - 1) * GAP_Y) / 2
    for n, stage in enumerate(saga.stages):
        x = MARGIN + n * (BOX_W + GAP_X)
        if n == saga.pivot_stage:
            parts += _gate(x - GAP_X / 2, height)
        tops = _tops(len(stage.steps), middle)
        parts += [_box(saga, step, x, top) for step, top in zip(stage.steps, tops, strict=True)]
        if n + 1 < len(saga.stages):
            following = _tops(len(saga.stages[n + 1].steps), middle)
            parts += [_arrow(x + BOX_W, a, x + BOX_W + GAP_X, b) for a in tops for b in following]
    return "\n".join([*parts, "</svg>", ""])


def _tops(count: int, middle: float) -> list[float]:
    first = middle - (count * BOX_H + (count - 1) * GAP_Y) / 2
    return [first + n * (BOX_H + GAP_Y) for n in range(count)]


def _box(saga: Saga, step: Step, x: float, top: float) -> str:
    pivot = " pivot" if step.name == saga.pivot else ""
    undo = (
        f"undo: {step.compensation.__name__}" if step.compensation else f"not undone: {step.no_compensation}"
    )
    shown = undo if len(undo) <= 30 else f"{undo[:29]}…"
    return (
        f'<g><title>{escape(undo)}</title><rect class="step{pivot}" x="{x}" y="{top:g}" width="{BOX_W}" '
        f'height="{BOX_H}" rx="8"/><text class="name" x="{x + 12}" y="{top + 24:g}">{escape(step.name)}</text>'
        f'<text class="small{" undo" if step.compensation else ""}" x="{x + 12}" y="{top + 44:g}">{escape(shown)}'
        "</text></g>"
    )


def _arrow(x1: float, top1: float, x2: float, top2: float) -> str:
    y1, y2, bend = top1 + BOX_H / 2, top2 + BOX_H / 2, (x1 + x2) / 2
    return f'<path class="arrow" d="M{x1:g} {y1:g} C{bend:g} {y1:g} {bend:g} {y2:g} {x2:g} {y2:g}"/>'


def _gate(x: float, height: float) -> list[str]:
    return [
        f'<line class="gate" x1="{x:g}" x2="{x:g}" y1="{HEAD_H - 8}" y2="{height - 10}"/>',
        f'<text class="gate-text" x="{x + 6:g}" y="{HEAD_H + 2}">gate: only forward from here</text>',
    ]
