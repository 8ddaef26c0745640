"""
Holds of orders that wait longer than their hold lasts: renewed before it lapses, re-taken after.

A hold's expiry is only a guard against leaks, so an order that is still on its way to its gate, waiting or parked for a
person, keeps its place. One that has lapsed is taken again if there is room; if there is none, the gate will find the
order without its hold, and it is undone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from app import time_ids
from app.capacity import limits, service
from app.capacity.ledger import Held, Ledger
from app.capacity.model import HOLD_MARGIN_S, NO_LIMIT, WINDOW_S, Hold, Slot
from app.database import rows

LAPSES_WITHIN = timedelta(seconds=HOLD_MARGIN_S * 2 / 3)  # a few rounds of beat before it does
AT_MOST = 5_000  # in one round; those that lapse first

_LAPSING = text("""
    SELECT h.run_id, h.order_id, h.slot, coalesce(h.more, '{}') AS more,
        greatest(CAST(:now AS timestamptz), r.not_after) AS needed
    FROM runs r JOIN capacity_holds h ON h.run_id = r.id
    WHERE r.state IN ('w', 'p') AND r.id < :old AND r.direction = 'f' AND NOT r.gated
    AND h.released_at IS NULL AND h.expires_at < :lapsing ORDER BY h.expires_at, h.run_id LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class Renewed:
    """:param lost: run ids of those whose place is gone for good"""

    renewed: int
    lost: tuple[int, ...]


def renew(engine: Engine, ledger: Ledger, *, default: int, now: datetime) -> Renewed:
    """
    Renew what would lapse, and take again what has.

    :param default: what a kitchen takes of which nothing is said
    :raises LedgerLost: if the ledger is not of the truth's epoch
    :raises LedgerAway: if Redis does not answer
    """
    with engine.begin() as connection:
        epoch = service.epoch(connection)
        lapsing = _lapsing(connection, default, now)
    if not lapsing:
        return Renewed(0, ())
    answers = ledger.reserve(lapsing, epoch=epoch, now=now)
    kept = [hold for hold, answer in zip(lapsing, answers, strict=True) if answer is Held.HELD]
    lost = [hold.run_id for hold, answer in zip(lapsing, answers, strict=True) if answer is Held.FULL]
    with engine.begin() as connection:
        if not service.still(connection, epoch):
            return Renewed(0, ())
        renewed = connection.execute(
            text(
                "UPDATE capacity_holds h SET expires_at = n.expires_at FROM json_to_recordset(CAST(:rows AS json)) "
                "AS n(run_id bigint, expires_at timestamptz) WHERE h.run_id = n.run_id AND h.released_at IS NULL"
            ),
            {"rows": rows([{"run_id": hold.run_id, "expires_at": hold.expires_at} for hold in kept])},
        )
    return Renewed(renewed.rowcount, tuple(lost))


def _lapsing(connection: Connection, default: int, now: datetime) -> list[Hold]:
    lapsing = now + LAPSES_WITHIN
    found = connection.execute(
        _LAPSING,
        {
            "now": now,
            "lapsing": lapsing,
            "old": time_ids.floor(lapsing - timedelta(seconds=HOLD_MARGIN_S)),
            "most": AT_MOST,
        },
    ).all()
    slots = [slot for row in found for name in (row.slot, *row.more) if (slot := Slot.read(name))]
    capacity = limits.of_slots(connection, slots, default=default) if slots else {}

    def limit(name: str) -> int:
        said = capacity.get(name)
        return NO_LIMIT if said is None else said

    return [
        Hold(
            run_id=row.run_id,
            order_id=row.order_id,
            slot=row.slot,
            limit=limit(row.slot),
            expires_at=row.needed + timedelta(seconds=WINDOW_S + HOLD_MARGIN_S),
            more=tuple((name, limit(name)) for name in row.more),
        )
        for row in found
    ]
