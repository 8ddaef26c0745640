"""The new promise to the customer, in the transaction that tells the world."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from app.deliveries import service as deliveries
from app.deliveries import watch
from app.orders import rerouting
from app.orders.rerouting import Rerouting
from app.runs import dispatched
from app.runs.model import DONE, Member, Outcomes
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import dispatch_to_partner, plan_fulfilment

NAME = "tell-rerouted"
NO_COMPENSATION = "it stands after the pivot"
PARTNER_KEEPS = "partner-keeps-order"  # as the recall says
USES = (plan_fulfilment.NAME, dispatch_to_partner.NAME)


def tell(ports: Ports, _call: Call, members: Sequence[Member]) -> Result:
    """Give each order its new partner and ETA."""
    now = datetime.now(UTC)
    reroutings = [_rerouting(m, now) for m in members]
    return Result({m.run_id: DONE for m in members}, partial(_record, reroutings, ports.silence_s))


def stays(connection: Connection, failures: Mapping[int, Mapping[str, object]]) -> None:
    """Leave the orders with who has them, or may; a partner who keeps his is a person's business."""
    orders = rerouting.led_by(connection, failures)
    standing = dispatched.standing(connection, orders)
    rerouting.leave(
        connection, {order: standing[order].partner if order in standing else None for order in orders}
    )
    kept = [run_id for run_id, failure in failures.items() if failure["code"] == PARTNER_KEEPS]
    deliveries.note_kept(connection, kept)


def _record(
    reroutings: Sequence[Rerouting],
    silence_s: Mapping[str, float],
    connection: Connection,
    outcomes: Outcomes,
) -> Outcomes:
    rerouting.promise(connection, reroutings)
    watch.begin(connection, [(r.order_id, r.partner, r.eta) for r in reroutings], silence_s)
    return outcomes


def _rerouting(member: Member, now: datetime) -> Rerouting:
    plan, dispatch = member.given[plan_fulfilment.NAME], member.given[dispatch_to_partner.NAME]
    return Rerouting(
        run_id=member.run_id,
        order_id=member.order_id,
        channel=dispatch["channel"],
        partner=dispatch["partner"],
        eta=now + timedelta(seconds=plan["eta_s"]),
    )
