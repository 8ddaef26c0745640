"""A run on a line of time, drawn for the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.runs.views import RunTrace, Span, SpanKind, State

BAR_WIDTH = 48

_LOOKS: Mapping[str | None, tuple[str, str]] = {
    "done": ("green", "done"),
    "undone": ("cyan", "undone"),
    "rejected": ("red", "rejected"),
    "unavailable": ("yellow", "unavailable"),
    "in-doubt": ("magenta", "in doubt"),
    "not-yet": ("blue", "not yet"),
    "poisoned": ("red", "raised"),
    "left-out": ("yellow", "left out"),
    None: ("blue", "running"),
}
_STATES = {
    State.WAITING: "waits",
    State.TRAVELLING: "is under way",
    State.ENDED: "has ended",
    State.PARKED: "is parked: a person must look at it",
}


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a line of `BAR_WIDTH` characters: where it begins and how long it is, at least 1."""

    begin: int
    length: int


def part(started: float, finished: float, whole: float) -> Part:
    """:param whole: length of the line of time, in the unit of the other two, which count from its begin"""
    scale = BAR_WIDTH / whole if whole > 0 else 0.0
    begin = min(int(started * scale), BAR_WIDTH - 1)
    return Part(begin, max(1, min(round(finished * scale), BAR_WIDTH) - begin))


def of(trace: RunTrace) -> RenderableType:
    """Draw it."""
    parts: list[RenderableType] = [_head(trace), "", _line(trace), ""]
    if trace.acts:
        parts += [*(_act(act.at, act.act, act.step, act.who, act.why) for act in trace.acts), ""]
    return Group(*parts, _foot(trace))


def _head(trace: RunTrace) -> Text:
    run = trace.run
    head = Text(f"{run.tracking_id}  ", style="bold")
    head.append(run.order_status, style="red" if trace.failure else "green")
    if run.partner and not trace.failure:
        head.append(f"  delivered by {run.partner}")
    if trace.failure:
        head.append(f"  {trace.failure['code']} at {trace.failure.get('step') or '-'}")
        compensated = trace.failure.get("compensated")
        if compensated is not None:
            head.append(", all undone" if compensated else ", nothing was undone")
    return head


def _line(trace: RunTrace) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for name in ("step, or lane of a wait", "try", "cohort of", "from", "took"):
        table.add_column(name, justify="left" if name.startswith("step") else "right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("outcome, or why", no_wrap=True)
    began = min([trace.run.accepted_at, *(span.began_at for span in trace.spans[:1])])
    end = _end(trace)
    whole_ms = _ms(began, end)
    for span in trace.spans:
        started, finished = _ms(began, span.began_at), _ms(began, span.ended_at or end)
        at = part(started, finished, whole_ms)
        colour, label, outcome = _told(span)
        table.add_row(
            Text(label, style="dim" if span.kind in (SpanKind.WAIT, SpanKind.PARKED) else ""),
            str(span.nth) if span.nth and span.nth > 1 else "",
            "" if span.cohort_size is None else str(span.cohort_size),
            _lasting(started),
            _lasting(finished - started) + ("" if span.ended_at else " …"),
            _bar(at, colour, "█" if span.verdict or span.step else "░"),
            Text(outcome, style=colour),
        )
    return table


def _told(span: Span) -> tuple[str, str, str]:
    """Colour, label and outcome."""
    match span.kind:
        case SpanKind.WAIT:
            return "dim", f"  {span.lane}", span.why or ""
        case SpanKind.PARKED:
            return "red", "  parked", span.why or ""
        case SpanKind.STEP | SpanKind.UNDO:
            colour, word = _LOOKS[span.verdict]
            who = f" ({span.provider})" if span.provider else ""
            code = span.code if span.code and span.code != span.verdict else ""
            undo = "undo " if span.kind is SpanKind.UNDO else ""
            return colour, f"{undo}{span.step}", f"{word} {code}".strip() + who


def _foot(trace: RunTrace) -> Text:
    run, then = trace.run, trace.next
    cohorts = len({span.cohort_id for span in trace.spans if span.cohort_id})
    lasted = _lasting(_ms(run.accepted_at, _end(trace)))
    took = f"{lasted} from acceptance to {run.order_status if run.state is State.ENDED else 'now'}"
    lines = [f"run {_STATES[run.state]}, {cohorts} {'cohort' if cohorts == 1 else 'cohorts'}, {took}"]
    if run.state is not State.ENDED:
        step = f": {then.step}" if then.step else ""
        at = f", in {_lasting(_ms(trace.now, then.at))} ({_clock(then.at)})" if then.at else ""
        attempt = f", attempt {then.attempt} of {then.attempts_at_most}" if then.attempt else ""
        lines.append(f"next: {then.what}{step}{at}{attempt}")
    return Text("\n".join(lines), style="dim")


def _act(at: datetime, act: str, step: str | None, who: str, why: str) -> Text:
    return Text(f"{_clock(at)}  {who}: {act}{f' {step}' if step else ''}: {why}")


def _bar(at: Part, colour: str, mark: str) -> Text:
    rest = BAR_WIDTH - at.begin - at.length
    return (
        Text("·" * at.begin, style="dim")
        + Text(mark * at.length, style=colour)
        + Text("·" * rest, style="dim")
    )


def _end(trace: RunTrace) -> datetime:
    if trace.run.state is not State.ENDED:
        return trace.now
    return max([trace.run.accepted_at, *(span.ended_at or span.began_at for span in trace.spans)])


def _lasting(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < 10_000 else f"{ms / 1000:.1f} s"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}"


def _ms(since: datetime, moment: datetime) -> float:
    return max(0.0, (moment - since).total_seconds() * 1000)
