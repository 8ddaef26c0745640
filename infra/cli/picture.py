"""A run's steps on a line of time, drawn for the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.runs.model import Direction, RunState, Verdict
from app.runs.queries import StepRecord
from infra.cli.story import Story

BAR_WIDTH = 48

_LOOKS = {
    Verdict.DONE: ("green", "done"),
    Verdict.UNDONE: ("cyan", "undone"),
    Verdict.REJECTED: ("red", "rejected"),
    Verdict.UNAVAILABLE: ("yellow", "unavailable"),
    Verdict.IN_DOUBT: ("magenta", "in doubt"),
    Verdict.NOT_YET: ("blue", "not yet"),
    Verdict.POISONED: ("red", "poisoned"),
    Verdict.LEFT_OUT: ("yellow", "left out"),
    None: ("blue", "running"),
}
_STATES = {
    RunState.WAITING: "waiting",
    RunState.TRAVELLING: "under way",
    RunState.ENDED: "ended",
    RunState.PARKED: "parked: a person must look at it",
}


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a line of `BAR_WIDTH` characters: where it begins and how long it is, at least 1."""

    begin: int
    length: int


def span(started: float, finished: float, whole: float) -> Span:
    """:param whole: length of the line of time, in the unit of the other two, which count from its begin"""
    scale = BAR_WIDTH / whole if whole > 0 else 0.0
    begin = min(int(started * scale), BAR_WIDTH - 1)
    return Span(begin, max(1, min(round(finished * scale), BAR_WIDTH) - begin))


def of(story: Story) -> RenderableType:
    """Draw it."""
    return Group(_head(story), "", _steps(story), "", _foot(story))


def _head(story: Story) -> Text:
    head = Text(f"{story.order_id}  ", style="bold")
    head.append(story.status, style="red" if story.failure else "green")
    if story.partner:
        head.append(f"  delivered by {story.partner}")
    if story.failure:
        undone = "all undone" if story.failure.get("compensated") else "nothing had been begun"
        head.append(f"  {story.failure['code']} at {story.failure.get('step') or '-'}, {undone}")
    return head


def _steps(story: Story) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for name in ("step", "try", "cohort of", "from", "took"):
        table.add_column(name, justify="left" if name == "step" else "right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    end = _end(story)
    whole_ms = _ms(story.created_at, end)
    tries: dict[tuple[int, Direction], int] = {}
    for record in story.records:
        place = (record.step, record.direction)
        tries[place] = tries.get(place, 0) + 1
        started, finished = (
            _ms(story.created_at, record.started_at),
            _ms(story.created_at, record.finished_at or end),
        )
        colour, word = _LOOKS[record.verdict]
        undo = "undo " if record.direction is Direction.BACKWARD else ""
        table.add_row(
            f"{undo}{story.steps[record.step]}",
            str(tries[place]) if tries[place] > 1 else "",
            str(record.cohort_size),
            f"{started:.0f} ms",
            f"{finished - started:.0f} ms",
            _bar(span(started, finished, whole_ms), colour),
            Text(f"{word} {record.code or ''}".strip(), style=colour),
        )
    return table


def _foot(story: Story) -> Text:
    if story.standing is None:
        return Text("no run: it came with a migration")
    cohorts = len({record.cohort_id for record in story.records})
    state = _STATES[story.standing.state]
    lane = f" in lane {story.standing.lane}" if story.standing.state is RunState.WAITING else ""
    took = f"{_ms(story.created_at, story.updated_at):.0f} ms from acceptance to {story.status}"
    return Text(
        f"run {state}{lane}, {cohorts} {'cohort' if cohorts == 1 else 'cohorts'}, {took}", style="dim"
    )


def _bar(part: Span, colour: str) -> Text:
    rest = BAR_WIDTH - part.begin - part.length
    return (
        Text("·" * part.begin, style="dim")
        + Text("█" * part.length, style=colour)
        + Text("·" * rest, style="dim")
    )


def _end(story: Story) -> datetime:
    moments: Sequence[StepRecord] = story.records
    return max([story.updated_at, *(record.finished_at or record.started_at for record in moments)])


def _ms(since: datetime, moment: datetime) -> float:
    return max(0.0, (moment - since).total_seconds() * 1000)
