"""Fake services behind the front door."""

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime

from fake_capacity import CapacityDesk
from fake_delivery_desk import DeliveryDesk
from fake_desk import ChannelDesk, Desk, Switchboard
from fake_differences import Differences
from fake_webhook_desk import WebhookDesk
from flask import Flask

from app.callbacks.service import Received
from app.callbacks.signature import Signed
from app.errors import UoopError
from app.limits.service import RateLimited
from app.orders.group_commit import Tell
from app.orders.model import Accepted, NewOrder, Status
from app.orders.views import (
    OrderFilter,
    OrderPage,
    OrderSummary,
    OrderView,
    Position,
    StepView,
    TimelineEntry,
)
from app.outbox.model import Event
from web.app import create_app
from web.hot_lane import HotLane
from web.services import Identity, Listener, OrderKey, Principal, Services
from web.tracking import Entry, StatusCache, Tracking

TOKEN = "uoop_0a1b2c3d_0123456789abcdef0123456789abcdef"
OPERATOR = "uoop_eeeeeeee_0123456789abcdef0123456789abcdef"
ADMINISTRATOR = "uoop_dddddddd_0123456789abcdef0123456789abcdef"
READ_ONLY = "uoop_ffffffff_0123456789abcdef0123456789abcdef"
LISTENER = "uoop_cccccccc_0123456789abcdef0123456789abcdef"
FIELD = ("RateLimit", '"key";r=7;t=1')
AT = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)
ORDER_ID = "018f3b2c-7d4e-7a10-9c55-3f1e2a6b7c8d"

VIEW = OrderView(
    tracking_id=ORDER_ID,
    version=3,
    status=Status.CONFIRMED,
    stage="confirm-order",
    external_order_id=None,
    created_at=AT,
    updated_at=AT,
    eta=AT,
    partner="swift",
    channel="partner",
    failure=None,
    steps=[StepView(name="validate-order", status="done", attempts=1, started_at=AT, finished_at=AT)],
)
SUMMARY = OrderSummary(
    tracking_id=ORDER_ID,
    status=Status.CONFIRMED,
    customer_id="c",
    restaurant_id="r",
    external_order_id=None,
    total_amount="6.900",
    currency="BHD",
    created_at=AT,
    updated_at=AT,
)


class Messages:
    """What partners have told; refuses it when it was told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Signed]] = []
        self.fails: UoopError | None = None

    def take(self, partner: str, message: Signed) -> Received:
        self.taken.append((partner, message))
        if self.fails:
            raise self.fails
        return Received(reports=1, new=1)


class NothingKept:
    """A status cache that has lost all."""

    def get(self, order: OrderKey) -> bytes | None:
        return None

    async def get_all(self, orders: Sequence[OrderKey]) -> Sequence[bytes | None]:
        return [None] * len(orders)

    def put(self, entries: Sequence[Entry]) -> None:
        return None


class AllKept:
    """A status cache that loses nothing and knows no ranks."""

    def __init__(self) -> None:
        self.told: dict[OrderKey, bytes] = {}

    def get(self, order: OrderKey) -> bytes | None:
        return self.told.get(order)

    async def get_all(self, orders: Sequence[OrderKey]) -> Sequence[bytes | None]:
        return [self.told.get(order) for order in orders]

    def put(self, entries: Sequence[Entry]) -> None:
        self.told.update({entry.order: entry.told for entry in entries})


class Changes:
    """Tells of changes when a test says so."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []

    def follow(self, listener: Listener) -> None:
        self.listeners.append(listener)

    def tell(self, version: int) -> None:
        for listener in self.listeners:
            listener.tell({ORDER_ID: version})

    def watched(self) -> list[str]:
        return [order_id for listener in self.listeners for order_id in listener.watched()]


class Platform:
    """Keeps what it was given; answers what it was told to."""

    def __init__(self) -> None:
        self.accepted: list[NewOrder] = []
        self.outcome: Accepted | Exception = Accepted(ORDER_ID, AT, False)
        self.tokens = {
            TOKEN: Principal("t1", "0a1b2c3d", frozenset({"orders:read", "orders:write"})),
            OPERATOR: Principal("t1", "eeeeeeee", frozenset({"ops"})),
            ADMINISTRATOR: Principal("t1", "dddddddd", frozenset({"ops", "admin"})),
            LISTENER: Principal("t1", "cccccccc", frozenset({"events:read"})),
            READ_ONLY: Principal("t1", "ffffffff", frozenset({"orders:read"})),
        }
        self.identity: Identity = self
        self.remembers = True
        self.one_too_many = False
        self.admitted = 0
        self.view: OrderView | Exception | None = VIEW
        self.cache: StatusCache = NothingKept()
        self.read: list[list[OrderKey]] = []
        self.page = OrderPage([SUMMARY], Position(AT, ORDER_ID))
        self.asked: tuple[str, OrderFilter, Position | None, int] | None = None
        self.entries: list[TimelineEntry] | None = [TimelineEntry(at=AT, event="order.accepted")]
        self.dependencies: dict[str, bool | str] = {"postgres": True, "redis": True}
        self.wait_s: float | None = None
        self.desk = Desk()
        self.differences = Differences()
        self.switchboard = Switchboard()
        self.channel_desk = ChannelDesk()
        self.capacity = CapacityDesk()
        self.webhooks = WebhookDesk()
        self.delivery_desk = DeliveryDesk()
        self.messages = Messages()
        self.changes = Changes()
        self.log: list[Event] = []

    def recognise(self, token: str) -> Principal | None:
        return self.tokens.get(token) if self.remembers else None

    def authenticate(self, token: str) -> Principal | None:
        return self.tokens.get(token)

    def take_now(self, caller: Principal) -> list[tuple[str, str]] | None:
        if not self.remembers:
            return None
        return self.take(caller)

    def take(self, caller: Principal) -> list[tuple[str, str]]:
        self.admitted += 1
        if self.one_too_many:
            raise RateLimited(retry_after_s=2.5, fields=[FIELD])
        return [FIELD]

    def give_back(self, caller: Principal) -> None:
        self.admitted -= 1

    def charge(self, caller: Principal, count: int) -> None:
        self.admitted += count

    def accept(self, new: NewOrder) -> Future[Accepted]:
        self.accepted.append(new)
        future: Future[Accepted] = Future()
        if isinstance(self.outcome, Exception):
            future.set_exception(self.outcome)
        else:
            future.set_result(self.outcome)
        return future

    def order(self, tenant_id: str, order_id: str) -> OrderView | None:
        if isinstance(self.view, Exception):
            raise self.view
        return self.view if (tenant_id, order_id) == ("t1", ORDER_ID) else None

    def orders(self, wanted: Sequence[OrderKey]) -> dict[OrderKey, OrderView]:
        self.read.append([*wanted])
        return {order: view for order in wanted if (view := self.order(*order))}

    def list_orders(
        self, tenant_id: str, wanted: OrderFilter, after: Position | None, limit: int
    ) -> OrderPage:
        self.asked = (tenant_id, wanted, after, limit)
        return self.page

    def timeline(self, tenant_id: str, order_id: str) -> list[TimelineEntry] | None:
        return self.entries if (tenant_id, order_id) == ("t1", ORDER_ID) else None

    def events(self, tenant_id: str, order_id: str, after: int) -> list[Event]:
        mine = (tenant_id, order_id) == ("t1", ORDER_ID)
        return [event for event in self.log if mine and event.sequence > after]

    def services(self) -> Services:
        return Services(
            identity=self.identity,
            accept=self.accept,
            order=self.order,
            tracking=Tracking(self.orders, self.cache),
            events=self.events,
            changes=self.changes,
            list_orders=self.list_orders,
            timeline=self.timeline,
            readiness=lambda: self.dependencies,
            metrics=lambda: (b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"),
            cursor_secret=lambda: b"secret",
            limits=self,
            shedding=lambda tenant_id: self.wait_s if tenant_id == "t1" else None,
            runs=self.desk,
            differences=self.differences,
            pauses=self.switchboard,
            channels=self.channel_desk,
            capacity=self.capacity,
            forecast=self.capacity.forecast,
            webhooks=self.webhooks,
            deliveries=self.delivery_desk,
            callbacks=self.messages,
        )


def hot_lane(platform: Platform, app: Flask | None = None) -> HotLane:
    """The hot lane before this platform, and before its application if there is one already."""
    services = platform.services()

    def submit_for(new: NewOrder, asker: object, tell: Tell) -> None:
        future = platform.accept(new)
        tell([(asker, future.exception() or future.result())])

    return HotLane(app or create_app(services), services, submit_for, threads=2, places=3, stop_s=1)
