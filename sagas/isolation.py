"""
Finding the order that breaks a step, so that the others go on.

An action that raises is tried again with ever smaller parts of its cohort; that is safe, since every call is made
by key. What raises in every part with one fingerprint is the step's own trouble, or its surroundings': then nobody
is blamed and all are tried again later.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from app.runs.model import RAISED, LostCohort, Member, Outcome, Outcomes, Verdict
from sagas.definition import Result

ALIKE = 8  # so many parts failing, and none succeeding, are no coincidence
PARTS_AT_MOST = 64  # failing at once; what is left then is tried again later
TRACEBACK_CHARACTERS = 2000

Act = Callable[
    [Sequence[Member], bool], Result
]  # members, and whether nobody can have called for them before
log = structlog.get_logger()


def act(action: Act, members: Sequence[Member], *, sure: bool) -> Result:
    """
    The action's result; orders that make it raise are found by bisection and come out as POISONED.

    One poisoned order among n is found in at most log2(n) + 1 rounds. A lone order that raises is tried again
    later: nothing tells whether it is to blame.
    """
    try:
        return action(members, sure)
    except (LostCohort, SoftTimeLimitExceeded):
        raise  # overtaken, or hanging: the sweep takes the cohort apart
    except (OperationalError, InterfaceError):
        return _later(members, "database-away")
    except Exception as error:
        log.exception("step-raised", size=len(members))
        return _bisect(action, members, error)


def _bisect(action: Act, members: Sequence[Member], error: Exception) -> Result:
    good: list[Result] = []
    poisoned: list[tuple[Member, Exception]] = []
    parts = [members] if len(members) > 1 else []
    while parts and len(parts) <= PARTS_AT_MOST:
        halves = [half for part in parts for half in _halves(part)]
        parts = []
        for half in halves:
            try:
                good.append(action(half, False))
            except (LostCohort, SoftTimeLimitExceeded):
                raise
            except Exception as raised:  # noqa: BLE001 (whatever it is, it is the order's reason)
                if len(half) == 1:
                    poisoned.append((half[0], raised))
                else:
                    parts.append(half)
        if not good and len(parts) >= ALIKE:
            break
    if not good:
        return _later(members, f"{RAISED}{type(error).__name__}", _told(error))
    return _together([*good, *(_later(part, "not-isolated-yet") for part in parts)], poisoned)


def _halves(part: Sequence[Member]) -> tuple[Sequence[Member], Sequence[Member]]:
    middle = len(part) // 2
    return part[:middle], part[middle:]


def _later(members: Sequence[Member], code: str, detail: Mapping[str, str] | None = None) -> Result:
    return Result(
        dict.fromkeys((member.run_id for member in members), Outcome(Verdict.UNAVAILABLE, code, detail))
    )


def _together(good: Sequence[Result], poisoned: Sequence[tuple[Member, Exception]]) -> Result:
    outcomes: dict[int, Outcome] = {}
    for result in good:
        outcomes |= result.outcomes
    for member, error in poisoned:
        outcomes[member.run_id] = Outcome(Verdict.POISONED, f"{RAISED}{type(error).__name__}", _told(error))
    return Result(outcomes, partial(_record_parts, good))


def _record_parts(parts: Sequence[Result], connection: Connection, outcomes: Outcomes) -> Outcomes:
    """Each part writes what belongs to its own outcomes."""
    recorded = dict(outcomes)
    for part in parts:
        if part.record:
            recorded |= part.record(connection, part.outcomes)
    return recorded


def _told(error: Exception) -> dict[str, str]:
    return {"traceback": "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]}
