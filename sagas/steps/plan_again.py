"""Who delivers instead: a plan of now, without those who had the order and were relieved of it."""

from collections.abc import Sequence
from dataclasses import replace

from app.deliveries import queries as deliveries
from app.runs.model import Member, Outcome, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import plan_fulfilment

NO_COMPENSATION = plan_fulfilment.NO_COMPENSATION
NOBODY_LEFT = "no-available-partner"


def plan_again(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Rank the channels that are left for each order and promise a new time; rejected if there is none."""
    with ports.engine.begin() as connection:
        former = deliveries.former_partners(connection, [m.order_id for m in members])
    nobody = Outcome(Verdict.REJECTED, NOBODY_LEFT)
    planned = plan_fulfilment.ranked(ports, call, members, former)
    return replace(planned, outcomes={m.run_id: nobody for m in members} | dict(planned.outcomes))
