"""What is offered to those who were refused: the next window with room. Nothing of this is done while there is room."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from app.capacity.ledger import Ledger
from app.capacity.model import WINDOW_S, Hold, Slot
from app.database import rows

LOOK_AHEAD = 16  # windows, which is four hours

_Places = tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """
    One order's refusal.

    :param full: the slots without room
    :param next_from: when the next window with room begins, seconds since 1970; None: none within four hours
    """

    full: tuple[str, ...]
    next_from: int | None

    def detail(self) -> Mapping[str, object]:
        """As it stands in the order's failure."""
        if self.next_from is None:
            return {"next_window": None}
        begin, end = (datetime.fromtimestamp(self.next_from + s, UTC) for s in (0, WINDOW_S))
        return {"next_window": {"from": begin.isoformat(), "until": end.isoformat()}}


def find(
    ledger: Ledger, limit: Callable[[Slot], int], holds: Sequence[Hold], *, epoch: int, now: datetime
) -> list[Refused]:
    """
    Why each of these was refused, and what it is offered. Places are not kept: a second order may be quicker.

    :param limit: what a slot takes
    :param holds: as they were asked for
    :raises LedgerAway: if Redis does not answer
    """
    asked = [_places(hold) for hold in holds]
    distinct = list(dict.fromkeys(asked))
    ahead = [[_later(places, n) for n in range(LOOK_AHEAD + 1)] for places in distinct]
    slots = [str(slot) for each in ahead for places in each for slot in places]
    room = dict(zip(slots, ledger.taken(slots, epoch=epoch, now=now), strict=True))
    found = {places: _refused(limit, each, room) for places, each in zip(distinct, ahead, strict=True)}
    return [found[places] for places in asked]


def count(connection: Connection, refusals: Sequence[Refused]) -> None:
    """Count refusals by slot, in the order of the slots' names."""
    counts = Counter(slot for refused in refusals for slot in refused.full)
    values = [
        {
            "slot": name,
            "tenant_id": slot.tenant_id,
            "kind": slot.kind,
            "name": slot.name,
            "window_from": datetime.fromtimestamp(slot.window, UTC),
            "refused": counts[name],
        }
        for name in sorted(counts)
        if (slot := Slot.read(name))
    ]
    connection.execute(
        text("""
            INSERT INTO capacity_usage AS u (slot, tenant_id, kind, name, window_from, refused)
            SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r(slot text, tenant_id text, kind text, name text,
                window_from timestamptz, refused integer)
            ON CONFLICT (slot) DO UPDATE SET refused = u.refused + excluded.refused
        """),
        {"rows": rows(values)},
    )


def _places(hold: Hold) -> _Places:
    return tuple(slot for name in hold.slots if (slot := Slot.read(name)))


def _later(places: _Places, n: int) -> _Places:
    return tuple(replace(slot, window=slot.window + n * WINDOW_S) for slot in places)


def _refused(limit: Callable[[Slot], int], ahead: Sequence[_Places], taken: Mapping[str, int]) -> Refused:
    def full(places: _Places) -> tuple[str, ...]:
        return tuple(str(slot) for slot in places if taken[str(slot)] >= limit(slot))

    here, *later = ahead
    free = (places[0].window for places in later if not full(places))
    return Refused(full(here) or (str(here[0]),), next(free, None))
