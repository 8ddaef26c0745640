"""An operators' desk for capacity that notes what it was asked and tells what it was told to."""

import msgspec

from app.capacity.desk import CapacityLimits, CapacityUsage
from app.capacity.limits import Wanted
from app.capacity.model import SlotKind
from app.forecasting.service import Forecast
from web.description import capacity as examples


class CapacityDesk:
    def __init__(self) -> None:
        self.asked: list[object] = []
        self.fails: Exception | None = None
        self.made: Forecast | None = msgspec.convert(examples.FORECAST_EXAMPLE["forecast"], Forecast)

    def limits(self, tenant_id: str) -> CapacityLimits:
        self._note(tenant_id)
        return msgspec.convert(examples.LIMITS_EXAMPLE, CapacityLimits)

    def put(self, tenant_id: str, wanted: Wanted, *, who: str, why: str) -> CapacityLimits:
        self._note(tenant_id, wanted, who, why)
        return msgspec.convert(examples.LIMITS_EXAMPLE, CapacityLimits)

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
        self._note(tenant_id, back_h, ahead_h, kind, name, limit)
        return msgspec.convert(examples.USAGE_EXAMPLE, CapacityUsage)

    def picture(self, tenant_id: str, *, back_h: int, ahead_h: int) -> str:
        self._note(tenant_id, back_h, ahead_h)
        return "<svg/>"

    def forecast(self, tenant_id: str) -> Forecast | None:
        self._note(tenant_id)
        return self.made

    def _note(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.fails:
            raise self.fails
