"""Who delivers: a plan for the whole cohort, always feasible."""

from collections.abc import Collection, Mapping, Sequence, Set

from app.fleet import queries as fleet
from app.optimization.model import OWN_FLEET, Assignment, Job, Point, Problem
from app.restaurants import queries as restaurants
from app.restaurants.queries import Restaurant
from app.runs.model import Member, Outcome, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports

__all__ = ["NAME", "NO_COMPENSATION", "OWN_FLEET", "READS", "plan"]

NAME = "plan-fulfilment"
READS = ("restaurant_id", "delivery_location", "channel_preference")
NO_COMPENSATION = "a plan binds nobody until it is dispatched"
USUAL_PREP_MINUTES = 15.0


def plan(ports: Ports, _: Call, members: Sequence[Member]) -> Result:
    """Rank the channels for each order and promise a time."""
    return Result(ranked(ports, members, {}))


def ranked(ports: Ports, members: Sequence[Member], without: Mapping[str, Set[str]]) -> dict[int, Outcome]:
    """
    The plan of each order that anybody can deliver, by run id.

    :param without: by order id, channels that are not to be asked
    """
    from app.optimization.assign import assign  # noqa: PLC0415 (loads OR-Tools, which only those who plan need)

    tenants = sorted({m.tenant_id for m in members})
    with ports.engine.begin() as connection:
        places = restaurants.known(connection, ((m.tenant_id, m.given["restaurant_id"]) for m in members))
        couriers = fleet.with_room(connection, tenants)
    problem = Problem(
        jobs=tuple(
            _job(m, places.get((m.tenant_id, m.given["restaurant_id"])), without.get(m.order_id, ()))
            for m in members
        ),
        couriers=tuple(couriers),
        partners=ports.partners,
    )
    assignments = assign(problem).assignments
    return {a.run_id: Outcome(Verdict.DONE, detail=_detail(a)) for a in assignments}


def _job(member: Member, place: Restaurant | None, without: Collection[str]) -> Job:
    dropoff = member.given["delivery_location"]
    prep = place.prep_minutes if place and place.prep_minutes is not None else USUAL_PREP_MINUTES
    return Job(
        run_id=member.run_id,
        tenant_id=member.tenant_id,
        pickup=Point(place.lat, place.lng) if place else None,
        dropoff=Point(dropoff["lat"], dropoff["lng"]),
        prep_s=prep * 60,
        wish=member.given["channel_preference"],
        without=frozenset(without),
    )


def _detail(assignment: Assignment) -> dict[str, object]:
    detail: dict[str, object] = {
        "ranking": assignment.ranking,
        "eta_s": assignment.eta_s,
        "cost": assignment.cost,
    }
    if assignment.courier:
        detail["courier"] = assignment.courier
    return detail
