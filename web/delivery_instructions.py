"""What operators send about deliveries: which reports, what to do, and why."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.deliveries.queries import Standing
from app.orders.document import Name
from web.instructions import Operator, Reason
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


SCHEMAS = (SettleReports, MarkOrder, RerouteOrder, RefuseOrder)
