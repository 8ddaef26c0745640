"""
Five steps that do nothing, two of them side by side; what is marked in its customer fails at the fourth.

All that the platform does around them stays: acceptance, runs, cohorts, executions, outcomes, the pivot's gate, the
order's states and events, undoing in reverse.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.orders import service
from app.runs.model import DONE, UNDONE, Member, Outcome, Verdict
from sagas.all import SAGAS
from sagas.definition import Call, Queue, Registry, Result, Saga, Step, parallel
from sagas.fulfill_order import FULFILL_ORDER
from sagas.ports import Ports
from sagas.steps import confirm_order

_REFUSED = Outcome(Verdict.REJECTED, "no-available-partner")


def do_nothing(_ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    return Result({member.run_id: DONE for member in members})


def undo_nothing(_ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    return Result({member.run_id: UNDONE for member in members})


def refuse_marked(_ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    """Customers with a slash in their id are those that the city lets fail."""
    return Result({m.run_id: _REFUSED if "/" in m.given["customer_id"] else DONE for m in members})


def confirm(_ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    eta = datetime.now(UTC) + timedelta(minutes=30)
    promised = [service.Confirmation(m.order_id, "partner", "nobody", eta) for m in members]

    def record(connection: object, outcomes: object) -> object:
        service.confirm(connection, promised)  # type: ignore[arg-type]
        return outcomes

    return Result({m.run_id: DONE for m in members}, record)  # type: ignore[arg-type]


NOOP = Saga.of(
    name=FULFILL_ORDER.name,
    version=FULFILL_ORDER.version,
    stages=(
        Step("validate-order", do_nothing, no_compensation="it does nothing"),
        parallel(
            Step("reserve-capacity", do_nothing, undo_nothing),
            Step("authorize-payment", do_nothing, undo_nothing, queue=Queue.PARTNER),
        ),
        Step(
            "dispatch-to-partner",
            refuse_marked,
            undo_nothing,
            queue=Queue.PARTNER,
            reads=("customer_id",),
        ),
        Step(confirm_order.NAME, confirm, no_compensation="it stands after the pivot", emits=True),
    ),
    pivot="dispatch-to-partner",
    on_undone=confirm_order.undone,
    needs_hold=False,
)
REGISTRY = Registry(NOOP, *(saga for saga in SAGAS if saga.name != NOOP.name))
