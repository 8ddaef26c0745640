"""A place in the kitchen's window, for a whole cohort in one call."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from app import errors
from app.capacity import model, service
from app.capacity.ledger import Held, LedgerLost
from app.capacity.model import Hold
from app.doorbell import Bell
from app.restaurants import queries as restaurants
from app.restaurants.queries import Restaurant
from app.runs.model import DONE, UNDONE, Member, Outcome, Outcomes, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports

READS = ("restaurant_id", "window_from")

_OUTCOMES = {
    Held.HELD: DONE,
    Held.FULL: Outcome(Verdict.REJECTED, "capacity-full"),
    Held.RELEASED: Outcome(Verdict.REJECTED, "hold-released"),
}


def reserve(ports: Ports, _: Call, members: Sequence[Member]) -> Result:
    """Hold a place per order in its restaurant's window; a full window rejects."""
    with ports.engine.begin() as connection:
        epoch = service.epoch(connection)
        kitchens = restaurants.known(connection, ((m.tenant_id, m.given["restaurant_id"]) for m in members))
    holds = [_hold(m, _limit(ports, kitchens.get((m.tenant_id, m.given["restaurant_id"])))) for m in members]
    try:
        answers = ports.ledger.reserve(holds, epoch=epoch, now=datetime.now(UTC))
    except errors.Unavailable as error:
        return unavailable(ports, members, error)
    outcomes = {hold.run_id: _OUTCOMES[answer] for hold, answer in zip(holds, answers, strict=True)}
    return Result(outcomes, partial(_keep_held, epoch, holds))


def release(ports: Ports, _: Call, members: Sequence[Member]) -> Result:
    """Give each order's place back; harmless for one that never had any."""
    with ports.engine.begin() as connection:
        epoch = service.epoch(connection)
    holds = [_hold(m, 0) for m in members]
    try:
        ports.ledger.release(holds, epoch=epoch, now=datetime.now(UTC))
    except errors.Unavailable as error:
        return unavailable(ports, members, error)
    return Result({m.run_id: UNDONE for m in members}, partial(keep_released, epoch, holds))


def _keep_held(epoch: int, holds: Sequence[Hold], connection: Connection, outcomes: Outcomes) -> Outcomes:
    if not service.still(connection, epoch):
        return _overtaken(outcomes)
    service.keep_holds(connection, [hold for hold in holds if outcomes[hold.run_id] is DONE])
    return outcomes


def keep_released(epoch: int, holds: Sequence[Hold], connection: Connection, outcomes: Outcomes) -> Outcomes:
    """Write down what the ledger of this epoch was told to give back; if there is another now, it was in vain."""
    if not service.still(connection, epoch):
        return _overtaken(outcomes)
    service.keep_releases(connection, holds)
    return outcomes


def _overtaken(outcomes: Outcomes) -> Outcomes:
    return {run_id: Outcome(Verdict.UNAVAILABLE, "ledger-rebuilt") for run_id in outcomes}


def unavailable(ports: Ports, members: Sequence[Member], error: errors.Unavailable) -> Result:
    """The ledger did not answer, or is not to be believed: nobody's place has changed."""
    if isinstance(error, LedgerLost):
        ports.doorbell.ring(Bell.RECONCILE)
    return Result({m.run_id: Outcome(Verdict.UNAVAILABLE, error.code) for m in members})


def _limit(ports: Ports, kitchen: Restaurant | None) -> int:
    return kitchen.slot_capacity if kitchen and kitchen.slot_capacity is not None else ports.slot_capacity


def _hold(member: Member, limit: int) -> Hold:
    at = member.given["window_from"] or member.created_at
    return Hold(
        run_id=member.run_id,
        order_id=member.order_id,
        slot=model.slot(member.tenant_id, member.given["restaurant_id"], at),
        limit=limit,
        expires_at=model.hold_expiry(at, member.not_after),
    )
