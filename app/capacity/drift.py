"""
Drift: where ledger and truth of one epoch differ for good, found and mended while orders flow.

A hold that is being made, or given back, stands in the ledger before it stands in Postgres. So the ledger is read
first, and nothing counts as drift that a run which is not over may still set right. What is mended is decided once
more inside Redis: it tells what it has really changed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Engine, text

from app.capacity import service
from app.capacity.ledger import Entry, Ledger


class Cause(StrEnum):
    """Who has forgotten what."""

    HOLD_LOST = "hold-lost"  # the ledger a hold: a place could be sold twice
    RELEASE_LOST = "release-lost"  # the ledger a release: a place stands empty
    NEVER_KEPT = "never-kept"  # the truth a hold, whose order's runs are over: a place stands empty


@dataclass(frozen=True, slots=True)
class Drift:
    """One order's place that was held by one side only."""

    cause: Cause
    slot: str
    order_id: str


def mend(engine: Engine, ledger: Ledger, *, now: datetime) -> list[Drift]:
    """
    Bring the ledger back to the truth within its epoch.

    :return: what was mended
    :raises LedgerLost: if it is not of the truth's epoch, and must be rebuilt
    :raises LedgerAway: if Redis does not answer
    """
    slots = sorted(service.drift(engine, ledger, now=now))
    if not slots:
        return []
    with engine.begin() as connection:
        epoch = service.epoch(connection)
    held = _by_place(ledger.held(slots, epoch=epoch, now=now))
    with engine.begin() as connection:
        live, released = _truth(connection, slots, now)
        unknown = held.keys() - live.keys() - released.keys()
        over = _over(connection, [order for _, order in unknown])
    lost = [live[place] for place in live.keys() - held.keys()]
    kept_on = [held[place] for place in held.keys() & released.keys()]
    unkept = [held[place] for place in unknown if place[1] in over]
    put_back = ledger.put_back(lost, epoch=epoch, now=now)
    dropped = ledger.drop([*kept_on, *unkept], epoch=epoch, now=now)
    return [
        *_told(Cause.HOLD_LOST, lost, put_back),
        *_told(Cause.RELEASE_LOST, kept_on, dropped[: len(kept_on)]),
        *_told(Cause.NEVER_KEPT, unkept, dropped[len(kept_on) :]),
    ]


def _truth(
    connection: Connection, slots: Sequence[str], now: datetime
) -> tuple[dict[tuple[str, str], Entry], dict[tuple[str, str], Entry]]:
    """What Postgres knows of these slots: live holds, and released ones, by slot and order."""
    result = connection.execute(
        text(
            "SELECT place AS slot, order_id, extract(epoch FROM expires_at)::bigint AS expiry, "
            f"released_at IS NOT NULL AS released FROM capacity_holds CROSS JOIN {service.PLACES} "
            "WHERE place = ANY(CAST(:slots AS text[])) AND expires_at > :now"
        ),
        {"slots": list(slots), "now": now},
    ).all()
    live = _by_place((r.slot, r.order_id, r.expiry) for r in result if not r.released)
    released = _by_place((r.slot, r.order_id, r.expiry) for r in result if r.released)
    return live, {place: entry for place, entry in released.items() if place not in live}


def _over(connection: Connection, orders: Sequence[str]) -> set[str]:
    """Those of the orders of which no run will do anything more."""
    result = connection.execute(
        text("""
            SELECT a.id FROM unnest(CAST(:orders AS text[])) AS a(id)
            LEFT JOIN uoop_orders o ON o.id = a.id COLLATE "C"
            WHERE NOT EXISTS (SELECT FROM runs r WHERE r.id = o.run_id AND r.state <> 'e')
            AND NOT EXISTS (SELECT FROM follow_ups f JOIN runs r ON r.id = f.run_id
                WHERE f.order_id = a.id COLLATE "C" AND r.state <> 'e')
        """),
        {"orders": list(orders)},
    )
    return set(result.scalars())


def _by_place(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    return {(slot, order): (slot, order, expiry) for slot, order, expiry in entries}


def _told(cause: Cause, entries: Sequence[Entry], changed: Sequence[bool]) -> list[Drift]:
    return [
        Drift(cause, slot, order)
        for (slot, order, _), was_changed in zip(entries, changed, strict=True)
        if was_changed
    ]
