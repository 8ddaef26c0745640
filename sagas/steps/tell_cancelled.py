"""The order's end, in the transaction that tells the world; or that it stays as it is."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from app.orders import service
from app.runs.model import DONE, Member, Outcomes
from sagas.definition import Call, Result
from sagas.ports import Ports

NAME = "tell-cancelled"
NO_COMPENSATION = "it stands after the pivot"


def tell(_ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    """Each order is CANCELLED: nothing that was done for it stands any more."""

    def record(connection: Connection, outcomes: Outcomes) -> Outcomes:
        service.cancel(connection, [m.order_id for m in members])
        return outcomes

    return Result({m.run_id: DONE for m in members}, record)


def refused(connection: Connection, failures: Mapping[int, Mapping[str, object]]) -> None:
    """Tell the orders that they are not cancelled."""
    service.refuse_cancellation(connection, failures)
