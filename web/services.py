"""What the HTTP shells ask of the platform; the composition root fills it, tests fill it with fakes."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import msgspec

from app.callbacks.service import Received
from app.callbacks.signature import Signed
from app.capacity.desk import CapacityLimits, CapacityUsage
from app.capacity.limits import Wanted
from app.capacity.model import SlotKind
from app.deliveries.model import Fate
from app.deliveries.queries import ReportGroup, ReportView
from app.fleet.service import CourierEntry
from app.forecasting.service import Forecast
from app.orders.model import Accepted, NewOrder, Status
from app.orders.views import OrderFilter, OrderPage, OrderView, Position, TimelineEntry
from app.outbox.model import Event
from app.routing.choice import Weights
from app.runs.views import Acted, ActedInBulk, ParkedGroup, RunFilter, RunPage, RunStory, RunTrace
from app.settlement.views import (
    ActedOn,
    DifferenceFilter,
    DifferenceGroup,
    DifferencePage,
    DifferenceStory,
    Remedy,
)
from app.webhooks.desk import Tested, WebhookWithSecret
from app.webhooks.model import Changes, DeliveryPage, Replay, Replayed, Webhook
from sagas.channel_desk import BreakerSwitch, Channels
from sagas.delivery_desk import Marked, Refused, Rerouted, Settled
from sagas.operations import Instruction
from sagas.pause_desk import Paused, Switch
from sagas.wishes import Refunding, RefundWish


@dataclass(frozen=True, slots=True)
class Principal:
    """
    Who asks: a tenant, by one of its keys or by somebody's token.

    :param key_prefix: the visible part of the key; of a token `jwt` and its subject
    :param rate_per_s: requests a second that this caller may make; None: as the settings say
    :param tenant_rate_per_s: the same for all of its tenant together
    """

    tenant_id: str
    key_prefix: str
    scopes: frozenset[str]
    rate_per_s: int | None = None
    tenant_rate_per_s: int | None = None


class Identity(Protocol):
    """Tells who stands behind a token. Both may raise `app.errors.UoopError`."""

    def recognise(self, token: str) -> Principal | None:
        """Whose token this is, from memory alone; None when `authenticate` must be asked."""

    def authenticate(self, token: str) -> Principal | None:
        """Whose token this is, None when nobody's."""


class Tracked(msgspec.Struct, frozen=True, array_like=True):
    """
    One order as it is told.

    :param accepted_at: seconds since 1970
    :param etag: the strong validator, without quotes
    """

    version: int
    status: Status
    accepted_at: float
    etag: str
    body: bytes


OrderKey = tuple[str, str]
"""Tenant and order id."""


class Tracker(Protocol):
    """Where orders stand, as it is told; as `web.tracking.Tracking` says."""

    def find(self, order: OrderKey) -> Tracked | None: ...

    async def kept(self, orders: Sequence[OrderKey]) -> Sequence[Tracked | None]: ...

    def read(self, orders: Sequence[OrderKey]) -> Sequence[Tracked | None]: ...


class OrderChanges(Protocol):
    """Tells which orders have changed."""

    def follow(self, listener: "Listener") -> None:
        """Tell this one from now on, from a thread."""


class Listener(Protocol):
    """Who wants to be told of changed orders."""

    def watched(self) -> list[str]:
        """The orders that it waits for."""

    def tell(self, versions: Mapping[str, int]) -> None:
        """Orders have reached these versions; also of orders that it does not wait for, and again."""


class Limits(Protocol):
    """How much a caller may ask; as `web.limits.Limits` says. The lists are header fields of the answer."""

    def take_now(self, caller: Principal) -> list[tuple[str, str]] | None: ...

    def take(self, caller: Principal) -> list[tuple[str, str]]: ...

    def give_back(self, caller: Principal) -> None: ...

    def charge(self, caller: Principal, count: int) -> None: ...


class RunDesk(Protocol):
    """What operators may see and do; as `sagas.operations.Operations` says."""

    def search(self, tenant_id: str, wanted: RunFilter, after: int | None, limit: int) -> RunPage: ...

    def story(self, tenant_id: str, name: str) -> RunStory: ...

    def trace(self, tenant_id: str, name: str) -> RunTrace: ...

    def parked(self, tenant_id: str) -> list[ParkedGroup]: ...

    def act(self, tenant_id: str, name: str, wanted: Instruction) -> Acted: ...

    def refund(self, tenant_id: str, order_id: str, wish: RefundWish) -> Refunding: ...

    def act_on_all(
        self,
        tenant_id: str,
        wanted: RunFilter,
        instruction: Instruction,
        *,
        limit: int,
        rate_per_s: float | None,
    ) -> ActedInBulk: ...


class DifferenceDesk(Protocol):
    """What operators see of differences with providers; as `app.settlement.desk.DifferenceDesk` says."""

    def page(
        self, tenant_id: str, wanted: DifferenceFilter, after: int | None, limit: int
    ) -> DifferencePage: ...

    def groups(self, tenant_id: str) -> list[DifferenceGroup]: ...

    def story(self, tenant_id: str, name: str) -> DifferenceStory: ...

    def act(self, tenant_id: str, name: str, act: Remedy, *, who: str, why: str) -> ActedOn: ...


class Switchboard(Protocol):
    """What operators may pause and resume; as `sagas.pause_desk.PauseDesk` says."""

    def paused(self, tenant_id: str) -> Paused: ...

    def pause(self, wanted: Switch) -> Paused: ...

    def resume(self, wanted: Switch) -> Paused: ...


class ChannelDesk(Protocol):
    """What operators may see of channels, and set by hand; as `sagas.channel_desk.ChannelDesk` says."""

    def channels(self, tenant_id: str) -> Channels: ...

    def force(self, wanted: BreakerSwitch) -> Channels: ...

    def release(self, wanted: BreakerSwitch) -> Channels: ...

    def weigh(self, tenant_id: str, weights: Weights, *, who: str, why: str) -> Channels: ...


class DeliveryDesk(Protocol):
    """What operators may see of deliveries, and do to them; as `sagas.delivery_desk.DeliveryDesk` says."""

    def reports(
        self, tenant_id: str, *, fate: Fate | None, order_id: str | None, limit: int
    ) -> list[ReportView]: ...

    def parked(self, tenant_id: str) -> list[ReportGroup]: ...

    def settle(
        self, tenant_id: str, report_ids: Sequence[int], *, dismiss: bool, who: str, why: str
    ) -> Settled: ...

    def mark(self, tenant_id: str, order_id: str, status: Status, *, who: str, why: str) -> Marked: ...

    def reroute(self, tenant_id: str, order_id: str, *, who: str, why: str) -> Rerouted: ...

    def couriers(self, tenant_id: str) -> list[CourierEntry]: ...

    def register(self, tenant_id: str, entries: Sequence[CourierEntry]) -> list[CourierEntry]: ...

    def refuse(self, tenant_id: str, order_id: str, courier: str, *, who: str, why: str) -> Refused: ...


class CapacityDesk(Protocol):
    """What operators see of capacity, and change; as `app.capacity.desk.CapacityDesk` says."""

    def limits(self, tenant_id: str) -> CapacityLimits: ...

    def put(self, tenant_id: str, wanted: Wanted, *, who: str, why: str) -> CapacityLimits: ...

    def usage(
        self,
        tenant_id: str,
        *,
        back_h: int,
        ahead_h: int,
        kind: SlotKind | None,
        name: str | None,
        limit: int,
    ) -> CapacityUsage: ...

    def picture(self, tenant_id: str, *, back_h: int, ahead_h: int) -> str: ...


class WebhookDesk(Protocol):
    """What tenants may do with their webhooks; as `app.webhooks.desk.WebhookDesk` says."""

    def create(
        self, tenant_id: str, *, url: str, types: Sequence[str], description: str | None
    ) -> WebhookWithSecret: ...

    def webhooks(self, tenant_id: str) -> list[Webhook]: ...

    def webhook(self, tenant_id: str, webhook_id: str) -> Webhook: ...

    def change(self, tenant_id: str, webhook_id: str, changes: Changes) -> Webhook: ...

    def delete(self, tenant_id: str, webhook_id: str) -> None: ...

    def rotate(self, tenant_id: str, webhook_id: str, *, overlap_s: float) -> WebhookWithSecret: ...

    def enable(self, tenant_id: str, webhook_id: str) -> Webhook: ...

    def disable(self, tenant_id: str, webhook_id: str) -> Webhook: ...

    def test(self, tenant_id: str, webhook_id: str) -> Tested: ...

    def deliveries(
        self,
        tenant_id: str,
        webhook_id: str,
        *,
        failed: bool,
        order_id: str | None,
        after: int | None,
        limit: int,
    ) -> DeliveryPage: ...

    def replay(self, tenant_id: str, webhook_id: str, wanted: Replay) -> Replayed: ...


class Callbacks(Protocol):
    """Where partners tell how deliveries go on; as `app.callbacks.service.Callbacks` says."""

    def take(self, partner: str, message: Signed) -> Received: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """
    Ports of the front door. All may raise `app.errors.Unavailable`.

    identity                       tells whose a token is
    accept(new)                    a future that ends after the commit, with Accepted or with KeyReused,
                                   ExternalIdTaken, InFlight, Unavailable
    order(tenant_id, order_id)     as Postgres has it, None when the tenant has no such order
    tracking                       the same as it is told
    events(tenant_id, order_id, after)  the order's events behind that sequence, none for another tenant's order
    changes                        tells which orders have changed
    list_orders(tenant_id, filter, after, limit)  newest first, those after the position `after`
    timeline(tenant_id, order_id)  oldest first, None when the tenant has no such order
    readiness()                    every dependency: True, or False, or a word on what is missing
    metrics()                      the exposition and its content type
    cursor_secret()                signs places in lists; the same in every process
    limits                         how much a caller may ask
    shedding(tenant_id)            None, or after how many seconds a refused client may come again; asked
                                   before the body of a submission is read, so it only looks
    runs                           the operators' desk
    differences                    their desk for differences with providers
    pauses                         the operators' switchboard
    channels                       the delivery partners, as operators see them
    deliveries                     the operators' desk for deliveries under way
    capacity                       their desk for capacity
    forecast(tenant_id)            the latest forecast, None before the first
    webhooks                       the tenants' webhooks
    callbacks                      where partners tell of them
    """

    identity: Identity
    accept: Callable[[NewOrder], Future[Accepted]]
    order: Callable[[str, str], OrderView | None]
    tracking: Tracker
    events: Callable[[str, str, int], list[Event]]
    changes: OrderChanges
    list_orders: Callable[[str, OrderFilter, Position | None, int], OrderPage]
    timeline: Callable[[str, str], list[TimelineEntry] | None]
    readiness: Callable[[], Mapping[str, bool | str]]
    metrics: Callable[[], tuple[bytes, str]]
    cursor_secret: Callable[[], bytes]
    limits: Limits
    shedding: Callable[[str], float | None]
    runs: RunDesk
    differences: DifferenceDesk
    pauses: Switchboard
    channels: ChannelDesk
    deliveries: DeliveryDesk
    capacity: CapacityDesk
    forecast: Callable[[str], Forecast | None]
    webhooks: WebhookDesk
    callbacks: Callbacks
