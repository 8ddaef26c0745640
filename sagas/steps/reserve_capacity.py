"""A place in the kitchen's window, and in zones and channels with limits, for a whole cohort in one call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from app import errors
from app.capacity import limits as capacity_limits
from app.capacity import model, offers, service
from app.capacity.ledger import Held, LedgerLost
from app.capacity.limits import Limits
from app.capacity.model import Hold, Slot, SlotKind
from app.capacity.offers import Refused
from app.doorbell import Bell
from app.restaurants import queries as restaurants
from app.restaurants.queries import Restaurant
from app.runs.model import DONE, UNDONE, Member, Outcome, Outcomes, Verdict
from sagas.definition import Call, Result
from sagas.ports import Ports

READS = ("restaurant_id", "window_from", "channel_preference")

FULL = "capacity-full"
_OUTCOMES = {
    Held.HELD: DONE,
    Held.FULL: Outcome(Verdict.REJECTED, FULL),
    Held.RELEASED: Outcome(Verdict.REJECTED, "hold-released"),
}


@dataclass(frozen=True, slots=True)
class Book:
    """
    What is known of a cohort's kitchens, and what operators have said of their slots.

    :param otherwise: what a kitchen takes of which nothing is said
    """

    epoch: int
    kitchens: Mapping[tuple[str, str], Restaurant]
    limits: Limits
    otherwise: int

    def hold(self, member: Member) -> Hold:
        """The places of one order."""
        at = member.given["window_from"] or member.created_at
        tenant, restaurant = member.tenant_id, member.given["restaurant_id"]
        slot, limit = model.slot(tenant, restaurant, at), self._usual(tenant, restaurant)
        more: tuple[tuple[str, int], ...] = ()
        if self.limits.said:
            window = int(model.window_start(at).timestamp())
            limit = self.limit(Slot(SlotKind.KITCHEN, tenant, restaurant, window))
            others = [
                Slot(kind, tenant, name, window)
                for kind, name in _others(member, self.kitchens.get((tenant, restaurant)))
                if self.limits.holds_places(tenant, kind, name)
            ]
            more = tuple((str(other), self.limit(other)) for other in others)
        return Hold(
            run_id=member.run_id,
            order_id=member.order_id,
            slot=slot,
            limit=limit,
            expires_at=model.hold_expiry(at, member.not_after),
            more=more,
        )

    def limit(self, slot: Slot) -> int:
        """What the slot takes."""
        if slot.kind is not SlotKind.KITCHEN:
            return self.limits.of(slot)
        return self.limits.of(slot, otherwise=self._usual(slot.tenant_id, slot.name))

    def _usual(self, tenant_id: str, restaurant_id: str) -> int:
        kitchen = self.kitchens.get((tenant_id, restaurant_id))
        return kitchen.slot_capacity if kitchen and kitchen.slot_capacity is not None else self.otherwise


def reserve(ports: Ports, _: Call, members: Sequence[Member]) -> Result:
    """Hold an order's places, all or none; a full window rejects, and the next one with room is offered."""
    with ports.engine.begin() as connection:
        book = opened(connection, members, otherwise=ports.slot_capacity)
    holds, now = [book.hold(m) for m in members], datetime.now(UTC)
    try:
        answers = ports.ledger.reserve(holds, epoch=book.epoch, now=now)
        full = [hold for hold, answer in zip(holds, answers, strict=True) if answer is Held.FULL]
        refusals = offers.find(ports.ledger, book.limit, full, epoch=book.epoch, now=now) if full else []
    except errors.Unavailable as error:
        return unavailable(ports, members, error)
    outcomes = {hold.run_id: _OUTCOMES[answer] for hold, answer in zip(holds, answers, strict=True)}
    outcomes |= {
        hold.run_id: Outcome(Verdict.REJECTED, FULL, detail=refused.detail())
        for hold, refused in zip(full, refusals, strict=True)
    }
    return Result(outcomes, partial(_keep_held, book.epoch, holds, refusals))


def release(ports: Ports, _: Call, members: Sequence[Member]) -> Result:
    """Give each order's places back, with its partner too; harmless for one that never had any."""
    with ports.engine.begin() as connection:
        book = opened(connection, members, otherwise=0)
        kept = {hold.run_id: hold.more for hold in service.holds_of(connection, [m.run_id for m in members])}
    holds = [_with(book.hold(m), kept.get(m.run_id, ())) for m in members]
    try:
        ports.ledger.release(holds, epoch=book.epoch, now=datetime.now(UTC))
    except errors.Unavailable as error:
        return unavailable(ports, members, error)
    return Result({m.run_id: UNDONE for m in members}, partial(keep_released, book.epoch, holds))


def opened(connection: Connection, members: Sequence[Member], *, otherwise: int) -> Book:
    """Look up what must be known of these orders; a statement more only where operators have set limits."""
    epoch, limited = service.opened(connection)
    kitchens = restaurants.known(connection, ((m.tenant_id, m.given["restaurant_id"]) for m in members))
    if not limited:
        return Book(epoch, kitchens, Limits(), otherwise)
    names = {
        (m.tenant_id, kind, name)
        for m in members
        for kind, name in [
            (SlotKind.KITCHEN, m.given["restaurant_id"]),
            *_others(m, kitchens.get((m.tenant_id, m.given["restaurant_id"]))),
        ]
    }
    return Book(epoch, kitchens, capacity_limits.known(connection, names), otherwise)


def _with(hold: Hold, places: Sequence[tuple[str, int]]) -> Hold:
    """The hold, with those of the places that it has not."""
    return replace(hold, more=(*hold.more, *(place for place in places if place[0] not in hold.slots)))


def _others(member: Member, kitchen: Restaurant | None) -> list[tuple[SlotKind, str]]:
    zone = kitchen.zone if kitchen else None
    wish = member.given["channel_preference"]
    return [(kind, name) for kind, name in ((SlotKind.ZONE, zone), (SlotKind.CHANNEL, wish)) if name]


def _keep_held(
    epoch: int, holds: Sequence[Hold], refusals: Sequence[Refused], connection: Connection, outcomes: Outcomes
) -> Outcomes:
    if not service.still(connection, epoch):
        return _overtaken(outcomes)
    service.keep_holds(connection, [hold for hold in holds if outcomes[hold.run_id] is DONE])
    if refusals:
        offers.count(connection, refusals)
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
    """The ledger did not answer, or is not to be believed: it is asked again, by the same orders."""
    if isinstance(error, LedgerLost):
        ports.doorbell.ring(Bell.RECONCILE)
    return Result({m.run_id: Outcome(Verdict.UNAVAILABLE, error.code) for m in members})
