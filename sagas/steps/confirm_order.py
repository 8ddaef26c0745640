"""The promise to the customer, in the transaction that tells the world."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from app.deliveries import watch
from app.orders import service
from app.runs.model import DONE, Member, Outcomes
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import dispatch_to_partner, plan_fulfilment

NAME = "confirm-order"
NO_COMPENSATION = "it stands after the pivot"
USES = (plan_fulfilment.NAME, dispatch_to_partner.NAME)


def confirm(ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    """Confirm each order with its channel, partner and ETA."""
    now = datetime.now(UTC)
    confirmations = [_confirmation(m, now) for m in members]
    return Result({m.run_id: DONE for m in members}, partial(_record, confirmations, ports.silence_s))


def undone(connection: Connection, failures: Mapping[int, Mapping[str, object]]) -> None:
    """Tell the orders that everything has been taken back."""
    service.fail(connection, failures)


def _record(
    confirmations: Sequence[service.Confirmation],
    silence_s: Mapping[str, float],
    connection: Connection,
    outcomes: Outcomes,
) -> Outcomes:
    service.confirm(connection, confirmations)
    watch.begin(connection, [(c.order_id, c.partner, c.eta) for c in confirmations], silence_s)
    return outcomes


def _confirmation(member: Member, now: datetime) -> service.Confirmation:
    plan, dispatched = member.given[plan_fulfilment.NAME], member.given[dispatch_to_partner.NAME]
    return service.Confirmation(
        order_id=member.order_id,
        channel=dispatched["channel"],
        partner=dispatched["partner"],
        eta=now + timedelta(seconds=plan["eta_s"]),
    )
