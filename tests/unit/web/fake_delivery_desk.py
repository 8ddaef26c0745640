"""An operators' desk for deliveries that notes what it was asked and tells what it was told to."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from app.deliveries.model import Fate
from app.deliveries.queries import ReportGroup, ReportView
from app.fleet.service import CourierEntry
from app.orders.model import Status
from sagas.delivery_desk import Marked, Refused, Rerouted, Settled
from web.description import delivery_examples as examples

RIDER = CourierEntry(
    id="rider-7",
    at=(26.2235, 50.5876),
    on_from=datetime(2026, 11, 23, 7, tzinfo=UTC),
    on_until=datetime(2026, 11, 23, 15, tzinfo=UTC),
    has=("car", "cool-box"),
)


class DeliveryDesk:
    def __init__(self) -> None:
        self.asked: list[object] = []
        self.fails: Exception | None = None

    def reports(
        self, tenant_id: str, *, fate: Fate | None, order_id: str | None, limit: int
    ) -> list[ReportView]:
        self._note(tenant_id, fate, order_id, limit)
        return msgspec.convert(examples.REPORTS["reports"], list[ReportView])

    def parked(self, tenant_id: str) -> list[ReportGroup]:
        self._note(tenant_id)
        return msgspec.convert(examples.PARKED["groups"], list[ReportGroup])

    def settle(
        self, tenant_id: str, report_ids: Sequence[int], *, dismiss: bool, who: str, why: str
    ) -> Settled:
        self._note(tenant_id, list(report_ids), dismiss, who, why)
        return msgspec.convert(examples.SETTLED, Settled)

    def mark(self, tenant_id: str, order_id: str, status: Status, *, who: str, why: str) -> Marked:
        self._note(tenant_id, order_id, status, who, why)
        return msgspec.convert(examples.MARKED, Marked)

    def reroute(self, tenant_id: str, order_id: str, *, who: str, why: str) -> Rerouted:
        self._note(tenant_id, order_id, who, why)
        return msgspec.convert(examples.REROUTED, Rerouted)

    def couriers(self, tenant_id: str) -> list[CourierEntry]:
        self._note(tenant_id)
        return [RIDER]

    def register(self, tenant_id: str, entries: Sequence[CourierEntry]) -> list[CourierEntry]:
        self._note(tenant_id, list(entries))
        return [RIDER]

    def refuse(self, tenant_id: str, order_id: str, courier: str, *, who: str, why: str) -> Refused:
        self._note(tenant_id, order_id, courier, who, why)
        return msgspec.convert(examples.REFUSED, Refused)

    def _note(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.fails:
            raise self.fails
