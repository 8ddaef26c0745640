"""
The API as `infra.api` makes it, with a hot lane that lets everything pass.

It reads the request, decodes the order by the fast form, waits for the group commit and answers 202. It does not ask
who sends and how much he may, whether the order contradicts itself, and whether its key was seen before.
"""

import msgspec

from app.orders.document import Order
from app.orders.model import NewOrder
from app.tenants.service import DEFAULT_TENANT
from benchmarks.bare import accept
from infra import api
from web.hot_lane import Headers, HotLane
from web.services import Principal

EVERYBODY = Principal(DEFAULT_TENANT, "", frozenset())
_decode = msgspec.json.Decoder(Order).decode


class BareLane(HotLane):
    def _caller(self, headers: Headers, scopes: tuple[str, ...]) -> Principal:
        return EVERYBODY

    async def _admit(self, caller: Principal) -> list[tuple[str, str]]:
        return []

    def _read_order(self, headers: Headers, caller: Principal, body: bytes) -> NewOrder:
        return NewOrder(caller.tenant_id, "", "", _decode(body))


accept.leave_out_keys()
hot_lane = BareLane(
    api.application, api._services, api._commit.submit_for, threads=1, places=0, stop_s=api.STOP_S
)
