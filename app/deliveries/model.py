"""
The life of a delivery: who may report what, and where a report may move an order.

A report is stored first and decided later. It moves the order forward, is superseded (the order is there already, or
beyond), waits until the order is confirmed or has its new partner, or is parked for a person. So no report does harm
for being late, doubled or out of order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.orders.model import Status
from app.routing.pickup import PICKUP


class Reporter(StrEnum):
    """Who reports."""

    PARTNER = "partner"  # the one who delivers, the own fleet among them
    RESTAURANT = "restaurant"
    OPERATOR = "operator"  # by hand, with a reason
    PLATFORM = "platform"  # what it has seen of a partner


class Reported(StrEnum):
    """What is reported: that the order has come to a status, or that its partner does not go on with it."""

    PREPARING = "PREPARING"
    READY_FOR_PICKUP = "READY_FOR_PICKUP"
    PICKED_UP = "PICKED_UP"
    IN_TRANSIT = "IN_TRANSIT"
    DELIVERED = "DELIVERED"
    GIVEN_BACK = "GIVEN_BACK"  # the partner refuses what he had accepted
    SILENT = "SILENT"  # the partner has not reported in time
    KEPT = "KEPT"  # the partner does not give back what is taken from him


# From where to where: forward, also over what nobody has reported, never back.
MOVES: Mapping[Status, tuple[Status, ...]] = {
    Status.CONFIRMED: (
        Status.PREPARING,
        Status.READY_FOR_PICKUP,
        Status.PICKED_UP,
        Status.IN_TRANSIT,
        Status.DELIVERED,
    ),
    Status.PREPARING: (Status.READY_FOR_PICKUP, Status.PICKED_UP, Status.IN_TRANSIT, Status.DELIVERED),
    Status.READY_FOR_PICKUP: (Status.PICKED_UP, Status.IN_TRANSIT, Status.DELIVERED),
    Status.PICKED_UP: (Status.IN_TRANSIT, Status.DELIVERED),
    Status.IN_TRANSIT: (Status.DELIVERED,),
    Status.DELIVERED: (),
}
BEFORE_PICKUP = (Status.CONFIRMED, Status.PREPARING, Status.READY_FOR_PICKUP)
# A restaurant whose customer collects the meal tells of that too.
MAY_REPORT: Mapping[Reporter, tuple[Reported, ...]] = {
    Reporter.PARTNER: (
        Reported.PREPARING,
        Reported.READY_FOR_PICKUP,
        Reported.PICKED_UP,
        Reported.IN_TRANSIT,
        Reported.DELIVERED,
        Reported.GIVEN_BACK,
    ),
    Reporter.RESTAURANT: (Reported.PREPARING, Reported.READY_FOR_PICKUP),
    Reporter.OPERATOR: (
        Reported.PREPARING,
        Reported.READY_FOR_PICKUP,
        Reported.PICKED_UP,
        Reported.IN_TRANSIT,
        Reported.DELIVERED,
    ),
    Reporter.PLATFORM: (Reported.SILENT, Reported.KEPT),
}


class Fate(StrEnum):
    """What has become of a report."""

    NEW = "n"  # nobody has looked at it
    WAITING = "w"  # for the order's confirmation, or for its new partner
    APPLIED = "a"
    SUPERSEDED = "s"  # the order had come so far, or farther
    PARKED = "p"  # it cannot be right: needs a person
    DISMISSED = "d"  # a person has seen it and left it alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    What somebody says of a delivery.

    :param by: the reporter's name
    :param event_id: the reporter's own; the same again is the same report
    :param order: tracking id, or the key of the dispatch, which begins with it
    :param what: one of `Reported`; anything else is parked
    :param at: when it happened, as the reporter says (aware)
    """

    reporter: Reporter
    by: str
    event_id: str
    order: str
    what: str
    at: datetime
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    An order as a report finds it.

    :param rerouting: it is being taken from its partner and given to another
    """

    status: Status
    partner: str | None
    version: int
    rerouting: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What becomes of a report.

    :param reason: stable, for PARKED
    :param status: to which the order moves
    :param reroute: whether another partner is to be found
    """

    fate: Fate
    reason: str | None = None
    status: Status | None = None
    reroute: bool = False


_FAILINGS = (Reported.GIVEN_BACK, Reported.SILENT, Reported.KEPT)
_SUPERSEDED, _WAITING = Decision(Fate.SUPERSEDED), Decision(Fate.WAITING)
_REROUTE = Decision(Fate.APPLIED, reroute=True)


def decide(delivery: Delivery | None, report: Report) -> Decision:
    """What a report means for the order that it tells of; None is an order that nobody knows."""
    refused = _refused(delivery, report)
    if refused or delivery is None:
        return Decision(Fate.PARKED, refused)
    if _must_wait(delivery, report):
        return _WAITING
    ended = delivery.status not in MOVES
    if ended or (report.reporter is Reporter.PARTNER and report.by != delivery.partner):
        reason = "order-not-under-way" if ended else "other-partner"
        return _SUPERSEDED if report.what in _FAILINGS else Decision(Fate.PARKED, reason)
    if report.what in _FAILINGS:
        return _partner_fails(delivery, report)
    status = Status(report.what)
    return Decision(Fate.APPLIED, status=status) if status in MOVES[delivery.status] else _SUPERSEDED


def after(delivery: Delivery, decision: Decision) -> Delivery:
    """The order as the next report finds it."""
    if decision.status is not None:
        return replace(delivery, status=decision.status, version=delivery.version + 1)
    return replace(delivery, rerouting=True) if decision.reroute else delivery


def _refused(delivery: Delivery | None, report: Report) -> str | None:
    if report.what not in set(Reported):
        return "unknown-state"
    hands_over = (
        delivery is not None and delivery.partner == PICKUP and report.reporter is Reporter.RESTAURANT
    )
    if report.what not in MAY_REPORT[Reporter.OPERATOR if hands_over else report.reporter]:
        return "not-theirs-to-report"
    return "unknown-order" if delivery is None else None


def _must_wait(delivery: Delivery, report: Report) -> bool:
    """For the confirmation; or for the new partner, unless it is of no matter who that is."""
    rerouting = delivery.rerouting and delivery.status in MOVES
    return delivery.status is Status.PENDING or (rerouting and report.reporter is not Reporter.RESTAURANT)


def _partner_fails(delivery: Delivery, report: Report) -> Decision:
    if report.what == Reported.SILENT and (report.details or {}).get("version") != delivery.version:
        return _SUPERSEDED  # somebody has reported since
    if delivery.status is Status.DELIVERED:
        return _SUPERSEDED
    if report.what == Reported.KEPT:
        return Decision(Fate.PARKED, "partner-keeps-order")
    if delivery.status in BEFORE_PICKUP:
        return _REROUTE
    code = "given-back" if report.what == Reported.GIVEN_BACK else "silent"
    return Decision(Fate.PARKED, f"{code}-after-pickup")
