"""
Places with those delivery partners whose windows have a limit: taken before a partner is asked, given up for the next.

An order's place with its partner stands in the row of the hold that it has with its kitchen, and goes with it. Where
nobody has set such a limit, nothing is asked of anybody.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from app import errors
from app.capacity import offers, service
from app.capacity.ledger import Entry, Held
from app.capacity.limits import Limits
from app.capacity.model import NO_LIMIT, Hold, Slot, SlotKind
from app.capacity.offers import Refused
from app.runs import dispatched, executions
from app.runs.model import Member, Outcome, Outcomes, Verdict
from sagas.definition import Call
from sagas.ports import Ports
from sagas.steps import reserve_capacity


@dataclass(frozen=True, slots=True)
class Turn:
    """
    An order, and the partner who is to be asked for it.

    :param sure: nobody can have asked him before; else he may have it already, whatever his limit
    """

    member: Member
    partner: str
    sure: bool


@dataclass(frozen=True, slots=True)
class _Change:
    """
    What becomes of an order's places.

    :param place: with the partner; None if it needs none, or has it
    :param former: with others, to be given up
    :param kept: of zone and channel, and what it has with the partner
    """

    turn: Turn
    hold: Hold
    place: Hold | None
    former: tuple[str, ...]
    kept: tuple[str, ...]


def full(ports: Ports, members: Sequence[Member]) -> Mapping[int, frozenset[str]]:
    """By run id, the partners in whose windows there is no room; empty while the ledger cannot tell."""
    limits = ports.standings.latest().places
    if not limits.said:
        return {}
    with ports.engine.begin() as connection:
        epoch, holds = service.epoch(connection), _holds(connection, members)
    names = {name for _, _, name in limits.said}
    slots = {
        m.run_id: [slot for name in names if (slot := _limited(limits, holds.get(m.order_id), name))]
        for m in members
    }
    distinct = list({str(slot) for each in slots.values() for slot in each})
    try:
        taken = dict(
            zip(distinct, ports.ledger.taken(distinct, epoch=epoch, now=datetime.now(UTC)), strict=True)
        )
    except errors.Unavailable:
        return {}
    return {
        m.run_id: frozenset(
            slot.name
            for slot in slots[m.run_id]
            if taken[str(slot)] >= limits.of(slot) and str(slot) not in holds[m.order_id].slots
        )
        for m in members
    }


def take(ports: Ports, call: Call, turns: Sequence[Turn]) -> tuple[set[int], Outcomes]:
    """
    Take each order's place with its partner, all in one call, and give up what it has with others.

    :return: run ids of those whose partner has no room, and the outcomes of those for whom it cannot be told now
    :raises LostCohort: if another executor has taken over
    """
    limits = ports.standings.latest().places
    if not limits.said or not turns:
        return set(), {}
    with ports.engine.begin() as connection:
        epoch, holds = service.epoch(connection), _holds(connection, [turn.member for turn in turns])
    changes = [
        _change(turn, holds[turn.member.order_id], limits) for turn in turns if turn.member.order_id in holds
    ]
    changes = [change for change in changes if change.place or change.former]
    if not changes:
        return set(), {}
    asked = [(change, change.place) for change in changes if change.place]
    unsettled = [change.turn.member for change, _ in asked if change.turn.sure]
    now = datetime.now(UTC)
    try:
        answers = ports.ledger.reserve([place for _, place in asked], epoch=epoch, now=now) if asked else []
    except errors.Unavailable as error:
        return set(), reserve_capacity.unavailable(ports, unsettled, error).outcomes
    refused = [change for (change, _), answer in zip(asked, answers, strict=True) if answer is not Held.HELD]
    lacking = {change.turn.member.run_id for change in refused}
    with ports.engine.begin() as connection:
        executions.hold(connection, cohort_id=call.cohort_id, step=call.step, executor=call.executor)
        if not service.still(connection, epoch):
            again = Outcome(Verdict.UNAVAILABLE, "ledger-rebuilt")
            return set(), {member.run_id: again for member in unsettled}
        service.move_places(connection, {c.hold.run_id: _after(c, lacking) for c in changes})
        offers.count(connection, [Refused((c.place.slot,), None) for c in refused if c.place])
    given_up: list[Entry] = [
        (slot, change.hold.order_id, int(change.hold.expires_at.timestamp()))
        for change in changes
        for slot in change.former
    ]
    if given_up:
        with suppress(errors.Unavailable):  # what stays too long is found as drift
            ports.ledger.leave(given_up, epoch=epoch, now=now)
    return lacking, {}


def _holds(connection: Connection, members: Sequence[Member]) -> dict[str, Hold]:
    """The holds of the runs that fulfil these orders, by order id."""
    made = dispatched.fulfilments(connection, [m.order_id for m in members])
    return {
        hold.order_id: hold for hold in service.holds_of(connection, [each.run_id for each in made.values()])
    }


def _change(turn: Turn, hold: Hold, limits: Limits) -> _Change:
    slot = _limited(limits, hold, turn.partner)
    more = [name for name, _ in hold.more]
    mine = {name for name in more if (read := Slot.read(name)) and read.kind is SlotKind.PARTNER}
    former = tuple(name for name in more if name in mine and name != str(slot))
    place = None
    if slot and str(slot) not in mine:
        limit = limits.of(slot) if turn.sure else NO_LIMIT
        place = Hold(hold.run_id, hold.order_id, str(slot), limit, hold.expires_at)
    return _Change(turn, hold, place, former, tuple(name for name in more if name not in former))


def _after(change: _Change, lacking: set[int]) -> tuple[str, ...]:
    if change.place is None or change.turn.member.run_id in lacking:
        return change.kept
    return (*change.kept, change.place.slot)


def _limited(limits: Limits, hold: Hold | None, partner: str) -> Slot | None:
    """The partner's slot in the window of the order; None if orders hold no place there."""
    kitchen = Slot.read(hold.slot) if hold else None
    if kitchen is None or not limits.holds_places(kitchen.tenant_id, SlotKind.PARTNER, partner):
        return None
    return Slot(SlotKind.PARTNER, kitchen.tenant_id, partner, kitchen.window)
