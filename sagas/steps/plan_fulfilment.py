"""Who delivers: a plan for the whole cohort, always feasible."""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from functools import partial

from sqlalchemy import Connection

from app.fleet import queries as fleet
from app.optimization.model import MINUTE_COST, OWN_FLEET, Assignment, Job, Point, Problem
from app.restaurants import queries as restaurants
from app.restaurants.queries import Restaurant
from app.routing import choice, decisions
from app.routing.breaker import BreakerState
from app.routing.choice import USUAL, Weights
from app.routing.figures import Figures
from app.routing.pickup import PICKUP
from app.runs.model import Member, Outcome, Outcomes, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import partner_places

__all__ = ["NAME", "NO_COMPENSATION", "OWN_FLEET", "READS", "plan"]

NAME = "plan-fulfilment"
READS = ("restaurant_id", "delivery_location", "channel_preference")
NO_COMPENSATION = "a plan binds nobody until it is dispatched"
USUAL_PREP_MINUTES = 15.0


def plan(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Rank the channels for each order and promise a time."""
    return ranked(ports, call, members, {})


def ranked(ports: Ports, call: Call, members: Sequence[Member], without: Mapping[str, Set[str]]) -> Result:
    """
    The plan of each order that anybody can deliver, by run id; why it is so is kept once for the cohort.

    :param without: by order id, channels that are not to be asked
    """
    from app.optimization.assign import assign  # noqa: PLC0415 (loads OR-Tools, which only those who plan need)

    tenants = sorted({m.tenant_id for m in members})
    with ports.engine.begin() as connection:
        places = restaurants.known(connection, ((m.tenant_id, m.given["restaurant_id"]) for m in members))
        couriers = fleet.with_room(connection, tenants)
    latest, barred = ports.standings.latest(), ports.breakers.barred()
    outcomes: dict[int, Outcome] = {}
    told: list[dict[str, object]] = []
    for weights, full, group in _alike(members, latest.weights, partner_places.full(ports, members)):
        rated = [
            choice.rate(
                partner,
                weights,
                latest.figures.get(partner.name, Figures()),
                barred.get(partner.name, BreakerState.CLOSED),
                full=partner.name in full,
            )
            for partner in ports.partners
        ]
        jobs = [
            _job(m, places.get((m.tenant_id, m.given["restaurant_id"])), without.get(m.order_id, ()))
            for m in group
        ]
        theirs = {m.tenant_id for m in group}
        problem = Problem(
            jobs=tuple(job for job in jobs if job.wish != PICKUP),
            couriers=tuple(c for c in couriers if c.tenant_id in theirs),
            partners=tuple(each.partner for each in rated),
            minute_cost=MINUTE_COST * weights.time / weights.cost,
        )
        assignments = [*assign(problem).assignments, *(_collected(job) for job in jobs if job.wish == PICKUP)]
        outcomes |= {a.run_id: Outcome(Verdict.DONE, detail=_detail(a)) for a in assignments}
        told.append(choice.told(assignments, rated, weights, problem.minute_cost))
    return Result(outcomes, partial(_record, call.cohort_id, told))


def _record(
    cohort_id: int, told: Sequence[Mapping[str, object]], connection: Connection, outcomes: Outcomes
) -> Outcomes:
    decisions.keep(connection, cohort_id, told)
    return outcomes


def _alike(
    members: Sequence[Member], known: Mapping[str, Weights], full: Mapping[int, frozenset[str]]
) -> Iterable[tuple[Weights, frozenset[str], Sequence[Member]]]:
    """Those whose tenants weigh alike are planned together, if the same partners have no room for them."""
    if not known and not full:
        return [(USUAL, frozenset(), members)]
    groups: dict[tuple[Weights, frozenset[str]], list[Member]] = {}
    for member in members:
        alike = known.get(member.tenant_id, USUAL), full.get(member.run_id, frozenset())
        groups.setdefault(alike, []).append(member)
    return [(*alike, group) for alike, group in groups.items()]


def _collected(job: Job) -> Assignment:
    """The customer comes for it: it is his when it is ready."""
    return Assignment(
        run_id=job.run_id,
        ranking=(PICKUP,),
        courier=None,
        eta_s=job.prep_s,
        cost=0.0,
        offers=((PICKUP, 0.0, job.prep_s),),
    )


def _job(member: Member, place: Restaurant | None, without: Collection[str]) -> Job:
    dropoff = member.given["delivery_location"]
    wish = member.given["channel_preference"]
    prep = place.prep_minutes if place and place.prep_minutes is not None else USUAL_PREP_MINUTES
    return Job(
        run_id=member.run_id,
        tenant_id=member.tenant_id,
        pickup=Point(place.lat, place.lng) if place else None,
        dropoff=Point(dropoff["lat"], dropoff["lng"]),
        prep_s=prep * 60,
        wish=None if wish in without else wish,
        without=frozenset(without),
        needs=frozenset(dropoff.get("needs", ())),
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
