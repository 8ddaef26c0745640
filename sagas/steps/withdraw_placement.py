"""The meal, taken back from the kitchen after the order was promised."""

from collections.abc import Sequence

from app.providers.port import Resource
from app.runs import dispatched
from app.runs.model import DONE, Member, Outcome
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import asking, place_with_restaurant

NAME = "withdraw-placement"
NO_COMPENSATION = "it stands after the pivot"


def withdraw(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Withdraw what the fulfilling run has placed."""
    with ports.engine.begin() as connection:
        made = dispatched.fulfilments(connection, [m.order_id for m in members])
    keys = {
        m.run_id: asking.key_of(
            m.order_id, place_with_restaurant.NAME, generation=made[m.order_id].generation
        )
        for m in members
        if m.order_id in made
    }
    outcomes: dict[int, Outcome] = {m.run_id: DONE for m in members}
    told = asking.take_back(
        ports.restaurants, Resource.PLACEMENTS, keys, call, refused="restaurant-keeps-order"
    )
    return Result(outcomes | told)
