"""
What a step does for orders that operators hold back: nothing, and it says so in their outcomes.

Deadlines go on: before the pivot an order is due again when its time is over, and then given up.
"""

from collections.abc import Sequence

from app.runs.model import Cohort, Member, Outcome, Verdict, paused_lane
from app.runs.pauses import Kind
from sagas.definition import Result, Saga, Step


def lane(saga: Saga, step: Step, cohort: Cohort) -> str | None:
    """Where the members of the cohort wait when the step, or the whole saga, is paused; None if neither is."""
    if not cohort.paused:
        return None
    kinds = ((Kind.SAGA, saga.name), (Kind.STEP, step.name))
    return next((paused_lane(kind, name) for kind, name in kinds if f"{kind}:{name}" in cohort.paused), None)


def partners(cohort: Cohort) -> frozenset[str]:
    """The partners who may not be called."""
    prefix = f"{Kind.PARTNER}:"
    return frozenset(name.removeprefix(prefix) for name in cohort.paused if name.startswith(prefix))


def outcome(lane: str, *, sure: bool) -> Outcome:
    """
    :param sure: nobody has been called in this execution, nor in an earlier one of the same cohort
    """
    return Outcome(Verdict.NOT_YET if sure else Verdict.IN_DOUBT, lane)


def held_back(members: Sequence[Member], lane: str, *, sure: bool) -> Result:
    """The outcomes of a step that is not done at all."""
    waits = outcome(lane, sure=sure)
    return Result({member.run_id: waits for member in members})
