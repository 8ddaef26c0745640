"""
Finding the order that breaks a step, so that the others go on.

An action that raises is tried again with ever smaller parts of its cohort; that is safe, since every call is made
by key. What raises in every part with one fingerprint is the step's own trouble, or its surroundings': then nobody
is blamed and all are tried again later.
"""

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from app import errors
from app.runs.model import RAISED, LostCohort, Member, Outcome, Outcomes, Verdict
from sagas.definition import Result, SomeRaised

ALIKE = 8  # so many parts failing, and none succeeding, are no coincidence
PARTS_AT_MOST = 64  # failing at once; what is left then is tried again later
TRACEBACK_CHARACTERS = 2000
_AWAY = (OperationalError, InterfaceError, errors.Unavailable)

Act = Callable[
    [Sequence[Member], bool], Result
]  # members, and whether nobody can have called for them before
log = structlog.get_logger()


def act(
    action: Act, members: Sequence[Member], *, sure: bool, rejects: tuple[type[Exception], ...] = ()
) -> Result:
    """
    The action's result; orders that make it raise are found by bisection and come out as POISONED.

    Those for which it raises one of `rejects` are found likewise, and are REJECTED.

    One poisoned order among n is found in at most log2(n) + 1 rounds. A lone order that raises is tried again
    later: nothing tells whether it is to blame.
    """
    action = _with_foreseen(action, rejects)
    try:
        return action(members, sure)
    except (LostCohort, SoftTimeLimitExceeded):
        raise  # overtaken, or hanging: the sweep takes the cohort apart
    except Exception as error:
        log.exception("step-raised", size=len(members))
        return _bisect(action, members, error)


def _with_foreseen(action: Act, rejects: tuple[type[Exception], ...]) -> Act:
    """The action, for which the errors that it is expected to raise have become outcomes."""
    expected: tuple[type[Exception], ...] = (*_AWAY, *rejects)

    def acting(members: Sequence[Member], sure: bool) -> Result:
        try:
            return action(members, sure)
        except (LostCohort, SoftTimeLimitExceeded):
            raise
        except SomeRaised as some:
            return _apart(some, rejects)
        except expected as error:
            if len(members) > 1 and not isinstance(error, _AWAY):
                return _together([acting(half, False) for half in _halves(members)], [])
            return Result(dict.fromkeys((m.run_id for m in members), _foreseen(error)))

    return acting


def _apart(some: SomeRaised, rejects: tuple[type[Exception], ...]) -> Result:
    """Orders that were asked for one by one: those that raised unforeseen are to blame if any other passed."""
    expected = {m.run_id: _foreseen(e) for m, e in some.raised if isinstance(e, (*_AWAY, *rejects))}
    blamed = [(member, error) for member, error in some.raised if member.run_id not in expected]
    good = Result({**some.outcomes, **expected})
    if blamed and not some.outcomes:
        _, error = blamed[0]
        later = _later([member for member, _ in blamed], f"{RAISED}{type(error).__name__}", _told(error))
        return _together([good, later], [])
    return _together([good], blamed)


def _foreseen(error: Exception) -> Outcome:
    if isinstance(error, errors.Unavailable):
        return Outcome(Verdict.UNAVAILABLE, error.code)
    if isinstance(error, _AWAY):
        return Outcome(Verdict.UNAVAILABLE, "database-away")
    return Outcome(Verdict.REJECTED, code_of(error))


def code_of(error: Exception) -> str:
    """A rejection's stable code: the one that the error has, or its class's name, hyphenated."""
    if isinstance(error, errors.UoopError):
        return error.code
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()


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
