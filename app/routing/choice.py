"""
What a partner costs besides his tariff, and what an order's channels were when one was chosen.

All terms are money of the order's currency. The optimizer adds them to fee and time, and takes the cheapest channel;
who may not be called, or takes no more orders, comes last, after everybody else.

    score = fee + minutes x minute_cost x time/cost + (health + load) x weight/cost
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from app.optimization.model import Assignment, Partner
from app.routing.breaker import BreakerState
from app.routing.figures import Figures

UNHEALTHY_COST = 1.0  # of a partner none of whose calls is answered, and as much if no delivery is on time
CROWDED_COST = 0.3  # of a partner who has as many orders as he takes
LAST = 1000.0  # dearer than whatever may be called

Weight = Annotated[float, Meta(ge=0, le=100)]


class Weights(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What matters to a tenant, relative to what it does usually; `cost` divides the others."""

    cost: Annotated[float, Meta(ge=0.01, le=100)] = 1.0
    time: Weight = 1.0
    health: Weight = 1.0
    load: Weight = 1.0


USUAL = Weights()


class PassedOver(StrEnum):
    """Why another channel was taken."""

    BREAKER_OPEN = "breaker-open"
    FULL = "full"
    DEARER = "dearer"  # all terms taken together
    NOT_OFFERED = (
        "not-offered"  # no courier with room, the customer wishes it otherwise, or it had the order before
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """
    A partner as the optimizer is told of him.

    :param partner: with the terms in his base fee
    :param obstacle: why he comes last, None if he does not
    """

    partner: Partner
    health: float
    load: float
    obstacle: PassedOver | None

    @property
    def surcharge(self) -> float:
        return self.health + self.load + (LAST if self.obstacle else 0.0)


def rate(
    partner: Partner, weights: Weights, figures: Figures, state: BreakerState, *, full: bool = False
) -> Rated:
    """
    One partner at this moment. Who is only to be probed is taken for healthy: else he would never be.

    :param full: there is no room in his window
    """
    ill = 0.0
    if state is not BreakerState.HALF_OPEN:
        ill = (1 - figures.answered_share) + (1 - figures.on_time_share)
    used = figures.taken_in_hour / partner.orders_per_hour if partner.orders_per_hour else 0.0
    obstacle = None
    if state is BreakerState.OPEN:
        obstacle = PassedOver.BREAKER_OPEN
    elif full or used >= 1:
        obstacle = PassedOver.FULL
    found = Rated(
        partner=partner,
        health=round(UNHEALTHY_COST * ill * weights.health / weights.cost, 4),
        load=round(CROWDED_COST * min(used, 1.0) ** 2 * weights.load / weights.cost, 4),
        obstacle=obstacle,
    )
    return replace(found, partner=replace(partner, base_fee=partner.base_fee + found.surcharge))


def told(
    assignments: Sequence[Assignment], rated: Sequence[Rated], weights: Weights, minute_cost: float
) -> dict[str, Any]:
    """The decisions of a cohort: what is common once, and a column of numbers per channel."""
    channels: dict[str, dict[str, Any]] = {
        each.partner.name: {"health": each.health, "load": each.load, "obstacle": each.obstacle}
        for each in rated
    }
    empty: list[float | None] = [None] * len(assignments)
    for n, assignment in enumerate(assignments):
        for channel, score, eta_s in assignment.offers:
            its = channels.setdefault(channel, {})
            if "scores" not in its:
                its |= {"scores": empty.copy(), "etas": empty.copy()}
            its["scores"][n], its["etas"][n] = score, eta_s
    return {
        "runs": [assignment.run_id for assignment in assignments],
        "chosen": [assignment.ranking[0] for assignment in assignments],
        "weights": weights,
        "minute_cost": minute_cost,
        "channels": channels,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    A channel that could have had the order. `score` is the sum of its terms: the lowest is taken, unless several orders
    want the same courier. Numbers are null of one that was not offered; `passed_over` is null of the chosen one.
    """

    channel: str
    score: float | None
    fee: float | None
    time: float | None
    health: float | None
    load: float | None
    eta_s: float | None
    passed_over: PassedOver | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingView:
    """Why an order went where it did: the channels, best first, and how much each term weighed."""

    cohort_id: str
    weights: dict[str, float]
    candidates: list[Candidate]


def explained(cohort_id: int, groups: Sequence[Mapping[str, Any]], run_id: int) -> RoutingView | None:
    """One run's decision, read from its cohort's; None if it is not among them."""
    for group in groups:
        if run_id in group["runs"]:
            n = group["runs"].index(run_id)
            chosen, channels = group["chosen"][n], group["channels"].items()
            found = [_candidate(channel, its, n, group["minute_cost"]) for channel, its in channels]
            found = [replace(each, passed_over=None) if each.channel == chosen else each for each in found]
            found.sort(key=lambda each: (each.passed_over is not None, each.score is None, each.score))
            return RoutingView(cohort_id=str(cohort_id), weights=group["weights"], candidates=found)
    return None


def _candidate(channel: str, its: Mapping[str, Any], n: int, minute_cost: float) -> Candidate:
    score, eta_s = (its[name][n] if name in its else None for name in ("scores", "etas"))
    obstacle = its.get("obstacle")
    if score is None or eta_s is None:
        return Candidate(
            channel=channel,
            score=None,
            fee=None,
            time=None,
            health=None,
            load=None,
            eta_s=None,
            passed_over=PassedOver.NOT_OFFERED,
        )
    score -= LAST if obstacle else 0.0
    health, load, time = its.get("health", 0.0), its.get("load", 0.0), eta_s / 60 * minute_cost
    return Candidate(
        channel=channel,
        score=round(score, 3),
        fee=round(score - health - load - time, 3),
        time=round(time, 3),
        health=health,
        load=load,
        eta_s=eta_s,
        passed_over=PassedOver(obstacle) if obstacle else PassedOver.DEARER,
    )
