"""The kitchen's place, given back after the order was promised."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from app import errors
from app.capacity import service
from app.runs import dispatched
from app.runs.model import DONE, Member
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import reserve_capacity

NAME = "release-capacity"
NO_COMPENSATION = "it stands after the pivot"


def release(ports: Ports, _: Call, members: Sequence[Member]) -> Result:
    """Give back the places that the fulfilling runs still hold."""
    with ports.engine.begin() as connection:
        epoch = service.epoch(connection)
        made = dispatched.fulfilments(connection, [m.order_id for m in members])
        holds = service.holds_of(connection, [each.run_id for each in made.values()])
    try:
        ports.ledger.release(holds, epoch=epoch, now=datetime.now(UTC))
    except errors.Unavailable as error:
        return reserve_capacity.unavailable(ports, members, error)
    return Result({m.run_id: DONE for m in members}, partial(reserve_capacity.keep_released, epoch, holds))
