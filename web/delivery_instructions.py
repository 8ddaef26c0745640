"""What operators send about deliveries: which reports, what to do, and why."""

from datetime import UTC
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.deliveries.queries import Standing
from app.fleet.service import CourierEntry
from app.orders.document import EARLIEST_YEAR, LATEST_YEAR, Moment, Name, Need
from app.orders.faults import Fault
from web.instructions import InvalidAct, Operator, Reason
from web.services import Principal


class ReportQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which reports, and how many."""

    fate: Standing | None = None
    tracking_id: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why it is done."""

    reason: Reason
    operator: Operator | None = None

    def who(self, caller: Principal) -> str:
        return f"{caller.key_prefix}/{self.operator}" if self.operator else caller.key_prefix


class SettleReports(Act, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which parked reports to take up again (`apply`) or to leave alone for good (`dismiss`)."""

    act: Literal["apply", "dismiss"]
    report_ids: Annotated[
        list[Annotated[str, Meta(pattern="^[0-9]{1,19}$")]], Meta(min_length=1, max_length=1000)
    ]


class MarkOrder(Act, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """To which status the order has come."""

    status: Literal["PREPARING", "READY_FOR_PICKUP", "PICKED_UP", "IN_TRANSIT", "DELIVERED"]


class RerouteOrder(Act, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why the order shall have another partner."""


class RefuseOrder(Act, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which courier of the own fleet will not bring the order."""

    courier: Name


class Courier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    One of the own fleet. Always on duty without `on_from` and `on_until`; he begins at `lat`, `lng`, brings
    `max_orders` at once, and `has` a vehicle or skills that orders may need.
    """

    id: Name
    lat: Annotated[float, Meta(ge=-90, le=90)]
    lng: Annotated[float, Meta(ge=-180, le=180)]
    on_from: Moment | None = None
    on_until: Moment | None = None
    max_orders: Annotated[int, Meta(ge=1, le=100)] = 3
    has: Annotated[list[Need], Meta(max_length=32)] = []

    @classmethod
    def of(cls, entry: CourierEntry) -> "Courier":
        lat, lng = entry.at
        return cls(
            id=entry.id,
            lat=lat,
            lng=lng,
            on_from=entry.on_from,
            on_until=entry.on_until,
            max_orders=entry.max_orders,
            has=list(entry.has),
        )

    def entry(self) -> CourierEntry:
        return CourierEntry(
            id=self.id,
            at=(self.lat, self.lng),
            on_from=self.on_from and self.on_from.astimezone(UTC),
            on_until=self.on_until and self.on_until.astimezone(UTC),
            max_orders=self.max_orders,
            has=tuple(self.has),
        )


class Couriers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Couriers of the own fleet. Of several of one id the last one counts."""

    couriers: Annotated[list[Courier], Meta(max_length=10_000)]

    def entries(self) -> list[CourierEntry]:
        """
        :raises InvalidAct: if somebody's duty lies outside of any calendar in use
        """
        found = [
            Fault(f"/couriers/{n}/{name}", "out-of-range", "lies outside of any calendar in use")
            for n, each in enumerate(self.couriers)
            for name, at in (("on_from", each.on_from), ("on_until", each.on_until))
            if at and not EARLIEST_YEAR <= at.year <= LATEST_YEAR
        ]
        if found:
            raise InvalidAct(found)
        return list({each.id: each.entry() for each in self.couriers}.values())


SCHEMAS = (SettleReports, MarkOrder, RerouteOrder, RefuseOrder, Couriers)
