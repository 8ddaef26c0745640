"""The meal, ordered from the kitchen."""

from collections.abc import Sequence

from app.providers.port import Request, Resource
from app.runs.model import Member
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import asking

NAME = "place-with-restaurant"
READS = ("customer_id", "restaurant_id", "items")


def place(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Place each order with its restaurant."""
    requests = {
        m.run_id: Request(
            asking.key(m, NAME),
            m.not_after,
            {
                "order": m.order_id,
                "customer": m.given["customer_id"],
                "restaurant": m.given["restaurant_id"],
                "items": [{"sku": i["sku"], "quantity": i["quantity"]} for i in m.given["items"]],
            },
        )
        for m in members
    }
    answers = asking.do(
        ports.restaurants, Resource.PLACEMENTS, requests, call, asked_before=asking.tried_before(members)
    )
    return Result(asking.outcomes(ports.restaurants, answers, refused="restaurant-refused"))


def withdraw(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Take each order back from its restaurant."""
    keys = {m.run_id: asking.key(m, NAME) for m in members}
    return Result(asking.undo(ports, ports.restaurants, Resource.PLACEMENTS, keys, call, members))
