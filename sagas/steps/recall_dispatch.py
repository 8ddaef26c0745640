"""The delivery, given back by the partner who has taken it: only if he agrees."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from msgspec import structs

from app.providers.port import Resource
from app.runs import dispatched
from app.runs.dispatched import Dispatched
from app.runs.model import DONE, Member, Outcome, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import asking

NAME = "recall-dispatch"
NO_COMPENSATION = "a partner who has given the delivery back is not made to take it again"


@dataclass(frozen=True, slots=True)
class _Recalled:
    run_id: int
    dispatch: Dispatched

    @property
    def partner(self) -> str:
        return self.dispatch.partner


def recall(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Ask every partner for the orders that he has; all partners side by side."""
    with ports.engine.begin() as connection:
        standing = dispatched.standing(connection, [m.order_id for m in members])
    turn = [_Recalled(m.run_id, standing[m.order_id]) for m in members if m.order_id in standing]
    outcomes: dict[int, Outcome] = {m.run_id: DONE for m in members}  # what stands nowhere is recalled
    return Result(outcomes | asking.side_by_side(turn, partial(_recall, ports, call)))


def _recall(ports: Ports, call: Call, name: str, group: Sequence[_Recalled]) -> dict[int, Outcome]:
    keys = {each.run_id: each.dispatch.key for each in group}
    told = asking.take_back(
        ports.delivery[name], Resource.DISPATCHES, keys, call, refused="partner-keeps-order"
    )
    return {
        run_id: structs.replace(outcome, detail={"recalled": name})
        if outcome.verdict is Verdict.DONE
        else outcome
        for run_id, outcome in told.items()
    }
