"""The operators' desk for capacity; every method opens its own short transaction."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine as Database

from app import database
from app.capacity import limits, picture, usage
from app.capacity.limits import Limit, LimitAct, Wanted
from app.capacity.model import SlotKind, window_start
from app.capacity.usage import SlotUsage, ZoneUsage

SLOTS_AT_MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityLimits:
    """
    What operators have set, and their latest changes, newest first.

    `usual` is what a kitchen takes per quarter of an hour of which nothing is said, here or where it was registered.
    """

    usual: int
    limits: list[Limit]
    acts: list[LimitAct]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityUsage:
    """Zones and windows in their order, and slots: the latest first, the fullest of a window first."""

    zones: list[ZoneUsage]
    slots: list[SlotUsage]


class CapacityDesk:
    """
    What one tenant's operators see of capacity, and change.

    :param default: orders that a kitchen takes per window when nothing is said of it
    """

    def __init__(self, db: Database, *, default: int) -> None:
        self._db, self._default = db, default

    def limits(self, tenant_id: str) -> CapacityLimits:
        """What is set."""
        now = datetime.now(UTC)
        return database.read(
            self._db,
            lambda c: CapacityLimits(
                usual=self._default,
                limits=limits.active(c, tenant_id, now=now),
                acts=limits.past_acts(c, tenant_id),
            ),
        )

    def put(self, tenant_id: str, wanted: Wanted, *, who: str, why: str) -> CapacityLimits:
        """
        Set a limit or take it away; holds from now on heed it.

        :raises OddWindows, NotLimited:
        """
        with self._db.begin() as connection:
            limits.put(
                connection,
                tenant_id,
                wanted,
                default=self._default,
                who=who,
                why=why,
                now=datetime.now(UTC),
            )
        return self.limits(tenant_id)

    def usage(
        self,
        tenant_id: str,
        *,
        back_h: int,
        ahead_h: int,
        kind: SlotKind | None,
        name: str | None,
        limit: int,
    ) -> CapacityUsage:
        """What is taken, from so many hours ago until so many ahead; measured every few seconds."""
        since, until = _span(back_h, ahead_h)
        return database.read(
            self._db,
            lambda c: CapacityUsage(
                zones=usage.zones(c, tenant_id, since=since, until=until),
                slots=usage.slots(
                    c,
                    tenant_id,
                    since=since,
                    until=until,
                    kind=kind,
                    name=name,
                    most=min(limit, SLOTS_AT_MOST),
                ),
            ),
        )

    def picture(self, tenant_id: str, *, back_h: int, ahead_h: int) -> str:
        """The zones of that time as a heat map, in SVG."""
        since, until = _span(back_h, ahead_h)
        found = database.read(self._db, lambda c: usage.zones(c, tenant_id, since=since, until=until))
        return picture.svg(found, now=datetime.now(UTC))


def _span(back_h: int, ahead_h: int) -> tuple[datetime, datetime]:
    now = window_start(datetime.now(UTC))
    return now - timedelta(hours=back_h), now + timedelta(hours=ahead_h)
