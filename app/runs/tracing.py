"""A run as a line of time: what was done and undone, and in which lane it waited in between, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app import time_ids
from app.runs.allowed import Subject
from app.runs.model import RunState, is_isolation_lane
from app.runs.views import Attempt, PastAct, Span, SpanKind, State, Way


@dataclass(frozen=True, slots=True)
class Journey:
    """One cohort with which the run has travelled, and the lane in which it had waited for it."""

    cohort_id: str
    lane: str
    began_at: datetime


@dataclass(frozen=True, slots=True)
class _Rest:
    """The run without a cohort, from some moment on."""

    since: datetime
    why: str | None


def spans(
    run: Subject, attempts: Sequence[Attempt], journeys: Sequence[Journey], acts: Sequence[PastAct]
) -> list[Span]:
    """
    The line, in the order of its beginnings; what still lasts has no end.

    :param attempts, journeys, acts: each oldest first
    """
    tries: dict[tuple[str, Way], int] = {}
    line: list[Span] = []
    rest = _Rest(time_ids.made_at(run.run_id), "accepted")
    left = list(acts)
    for journey in journeys:
        rest = _acted_upon(line, rest, left, before=journey.began_at)
        line.append(_wait(rest, journey.lane, journey.began_at))
        here = [each for each in attempts if each.cohort_id == journey.cohort_id]
        line += [_attempt(each, tries) for each in here]
        rest = _Rest(
            max((each.finished_at or each.started_at for each in here), default=journey.began_at), _why(here)
        )
    rest = _acted_upon(line, rest, left, before=run.seen_at)
    if run.state is RunState.WAITING:
        line.append(_wait(rest, run.lane, None))
    if run.state is RunState.PARKED:
        line.append(_parked(rest, None))
    return line


def _acted_upon(line: list[Span], rest: _Rest, left: list[PastAct], *, before: datetime) -> _Rest:
    """What operators did to the run at rest ends one part of the line and begins another."""
    while left and left[0].at < before:
        act = left.pop(0)
        if act.before["state"] == State.PARKED:
            line.append(_parked(rest, act.at))
        elif act.before["state"] == State.WAITING:
            line.append(_wait(rest, act.before["lane"], act.at))
        else:
            continue
        rest = _Rest(act.at, f"operator: {act.act}")
    return rest


def _why(here: Sequence[Attempt]) -> str | None:
    """What sent the run away from its cohort: the last that went wrong."""
    return next((each.code for each in reversed(here) if each.code), None)


def _wait(rest: _Rest, lane: str, until: datetime | None) -> Span:
    died = "processes died with its cohort" if is_isolation_lane(lane) else None
    return Span(kind=SpanKind.WAIT, began_at=rest.since, ended_at=until, lane=lane, why=rest.why or died)


def _parked(rest: _Rest, until: datetime | None) -> Span:
    return Span(kind=SpanKind.PARKED, began_at=rest.since, ended_at=until, why=rest.why)


def _attempt(each: Attempt, tries: dict[tuple[str, Way], int]) -> Span:
    place = (each.step, each.direction)
    tries[place] = tries.get(place, 0) + 1
    return Span(
        kind=SpanKind.STEP if each.direction is Way.FORWARD else SpanKind.UNDO,
        began_at=each.started_at,
        ended_at=each.finished_at,
        step=each.step,
        nth=tries[place],
        cohort_id=each.cohort_id,
        cohort_size=each.cohort_size,
        verdict=each.verdict,
        code=each.code,
        provider=each.provider,
    )
