"""A platform in one process: real Postgres and Redis, providers in memory, a carrier that walks when it is told to."""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import redis
from fake_providers import Book, FakeProvider
from sqlalchemy import Engine as Database
from sqlalchemy import text

from app.capacity import service as capacity
from app.capacity.ledger import Ledger
from app.doorbell import Bell
from app.fleet.provider import OwnFleet
from app.optimization.model import OWN_FLEET, Partner
from app.orders import accept
from app.orders.accept import StartWith
from app.orders.document import Item, Location, Order
from app.orders.model import Accepted, NewOrder
from app.providers.port import Kind
from app.routing.breakers import Breakers
from app.routing.figures import Recorder
from app.routing.guarded import Guarded
from app.routing.pickup import PICKUP, Pickup
from app.routing.standings import Standings
from app.runs import cohorts, follow_ups
from app.runs.cohorts import Claimed
from app.runs.follow_ups import Begun, FollowUp
from sagas.all import SAGAS
from sagas.backends import celery as backend
from sagas.definition import Registry, Saga
from sagas.engine import Engine, Limits
from sagas.fulfill_order import FULFILL_ORDER
from sagas.heartbeat import Heartbeat
from sagas.ports import Ports
from sagas.refund_order import REFUND_ORDER
from sagas.stretch import Legs

START = StartWith(FULFILL_ORDER.name, FULFILL_ORDER.version, ("fulfill-scheduled-order", 1))
RANKING = ("dhow", "falcon", "swift")  # by their fees, below
STEPS = FULFILL_ORDER.numbers
STAGES = {step.name: n for n, stage in enumerate(FULFILL_ORDER.stages) for step in stage.steps}

_numbers = itertools.count(1)


def document(**changes: Any) -> Order:
    """An order as the parser hands it on."""
    fields: dict[str, Any] = {
        "customer_id": "customer-1",
        "restaurant_id": "restaurant-1",
        "items": [Item(sku="machboos", name="Machboos", quantity=1, unit_price="2.750")],
        "delivery_location": Location(lat=26.2, lng=50.6, address="Road 2803"),
        "total_amount": "2.750",
        "currency": "BHD",
    }
    return Order(**(fields | changes))


def submission(
    key: str | None = None,
    *,
    tenant: str = "default",
    fingerprint: str = "same",
    trace: str | None = None,
    **changes: Any,
) -> NewOrder:
    return NewOrder(tenant, key or f"key-{next(_numbers)}", fingerprint, document(**changes), trace)


@dataclass
class QuietDoorbell:
    """Notes who rang."""

    rung: list[Bell] = field(default_factory=list)

    def ring(self, bell: Bell) -> None:
        self.rung.append(bell)


@dataclass(frozen=True)
class Message:
    """One link of a journey: a step to run, and perhaps a whole stretch that begins with it, or a join."""

    cohort_id: int
    epoch: int
    stage: int
    step: int | None
    legs: Legs = ()

    def deliver(self, engine: Engine) -> bool:
        if self.step is None:
            return engine.join(self.cohort_id, self.epoch, self.stage)
        return engine.run_stretch(self.cohort_id, self.epoch, self.legs or [(self.stage, (self.step,))])

    @property
    def steps(self) -> list[int]:
        return [step for _, steps in self.legs for step in steps] or [self.step or 0]


class WalkingCarrier:
    """Keeps what it was given until somebody walks it; can lose it, double it, or be away."""

    def __init__(self) -> None:
        self.sent: list[tuple[Claimed, int]] = []
        self.life = "first"
        self.away = False

    def send(self, claimed: Claimed, *, leg: int) -> None:
        if self.away:
            raise ConnectionError("the broker is away")
        self.sent.append((claimed, leg))

    def incarnation(self) -> str:
        return self.life

    def empty(self) -> None:
        """Lose everything, as an emptied broker does, and live again."""
        self.sent.clear()
        self.life += "+"


def links(claimed: Claimed, leg: int = 0) -> Iterator[list[Message]]:
    """The journey: a list per stage, its join last where steps run side by side."""
    for stage in claimed.itinerary[leg:]:
        steps: list[int | None] = [
            *SAGAS.get(claimed.saga, claimed.version).travelled(claimed.direction)[stage]
        ]
        if len(steps) > 1:
            steps.append(None)
        yield [Message(claimed.id, claimed.epoch, stage, step) for step in steps]


def stretches(claimed: Claimed, leg: int = 0) -> Iterator[list[Message]]:
    """The same as a small cohort's messages carry it: in one, but where it must be alone."""
    saga = SAGAS.get(claimed.saga, claimed.version)
    stages = saga.travelled(claimed.direction)
    for stretch in backend.stretches(saga, claimed, leg=leg, spread_from=1_000_000):
        if stretch.is_spread:
            (stage,) = stretch.stages
            yield [Message(claimed.id, claimed.epoch, stage, step) for step in (*stages[stage], None)]
        else:
            legs = tuple((stage, stages[stage]) for stage in stretch.stages)
            yield [Message(claimed.id, claimed.epoch, legs[0][0], legs[0][1][0], legs)]


def sagas_with(changed: Saga) -> Registry:
    """All sagas, this one in place of its namesake."""
    return Registry(*(saga for saga in SAGAS if saga.name != changed.name), changed)


@dataclass
class World:
    """Everything that one test needs."""

    db: Database
    redis: "redis.Redis[bytes]"
    book: Book
    payment: FakeProvider
    kitchens: FakeProvider
    partners: dict[str, FakeProvider]
    carrier: WalkingCarrier
    doorbell: QuietDoorbell
    ledger: Ledger
    ports: Ports
    engine: Engine
    trace: str | None = None
    """That clients tell with their orders."""

    @classmethod
    def made(
        cls,
        db: Database,
        client: "redis.Redis[bytes]",
        *,
        size: int = 1000,
        interval_s: float = 0.0,
        saga: Saga = FULFILL_ORDER,
        silence_s: Mapping[str, float] | None = None,
    ) -> "World":
        book = Book()
        payment = FakeProvider("benefit", Kind.PAYMENT, book)
        kitchens = FakeProvider("kitchens", Kind.RESTAURANT, book)
        partners = {name: FakeProvider(name, Kind.DELIVERY, book) for name in RANKING}
        ledger, bell = Ledger(client), QuietDoorbell()
        breakers, recorder = Breakers(db, fresh_s=0), Recorder(db, write_every_s=0)
        ports = Ports(
            engine=db,
            ledger=ledger,
            doorbell=bell,
            payment=payment,
            restaurants=kitchens,
            delivery={
                **{name: Guarded(partner, breakers, recorder) for name, partner in partners.items()},
                OWN_FLEET: OwnFleet(db),
                PICKUP: Pickup(),
            },
            breakers=breakers,
            standings=Standings(db, fresh_s=0),
            partners=tuple(
                Partner(name=name, base_fee=fee, per_km=0.1, speed_m_per_s=5.0)
                for name, fee in zip(RANKING, (0.4, 0.5, 0.7), strict=True)
            ),
            slot_capacity=1000,
            silence_s=silence_s or {},
        )
        carrier = WalkingCarrier()
        limits = Limits(cohort_size=size, lane_interval_s=interval_s)
        engine = Engine(ports, sagas_with(saga), carrier, bell, Heartbeat(db), limits)
        capacity.rebuild(db, ledger)
        return cls(db, client, book, payment, kitchens, partners, carrier, bell, ledger, ports, engine)

    def another_engine(
        self, saga: Saga = FULFILL_ORDER, *, size: int = 1000, interval_s: float = 0.0
    ) -> Engine:
        """One more process of the same platform."""
        limits = Limits(cohort_size=size, lane_interval_s=interval_s)
        return Engine(
            self.ports,
            sagas_with(saga),
            self.carrier,
            self.doorbell,
            Heartbeat(self.db),
            limits,
        )

    def providers(self) -> list[FakeProvider]:
        return [self.payment, self.kitchens, *self.partners.values()]

    def accept(self, count: int = 1, *, tenant: str = "default", **changes: Any) -> list[str]:
        """Accept that many orders; their tracking ids."""
        return self.submit([submission(tenant=tenant, trace=self.trace, **changes) for _ in range(count)])

    def submit(self, batch: Sequence[NewOrder]) -> list[str]:
        """Accept these; whoever is accepted next is younger: ids of one millisecond have no order."""
        with self.db.begin() as connection:
            answers = accept.accept(connection, batch, START)
        done = time.time()
        while time.time() < done + 0.001:
            pass
        return [answer.order_id for answer in answers if isinstance(answer, Accepted)]

    def follow_up(self, saga: Saga, *orders: str, amount: str = "1.000", waits: bool = False) -> list[int]:
        """Begin a further run on each order; their ids."""
        act = saga.name.partition("-")[0]
        asked = {"act": act, "who": "tests", "why": "because", "amount": amount}
        wishes = [
            FollowUp(order_id=order, asked=asked, within=timedelta(hours=1), waits=waits) for order in orders
        ]
        with self.db.begin() as connection:
            begun = follow_ups.begin(connection, saga.name, saga.version, wishes)
        return [each.run_id for each in begun if isinstance(each, Begun)]

    def refund(self, order: str, amount: str) -> None:
        """Give money back, and settle."""
        self.follow_up(REFUND_ORDER, order, amount=amount)
        self.settle()

    def claim(self) -> list[Claimed]:
        """Claim what is due; the cohorts, which are no longer the carrier's business."""
        self.engine.claim()
        claimed = [cohort for cohort, _ in self.carrier.sent]
        self.carrier.sent.clear()
        return claimed

    def claim_one(self) -> Claimed:
        (claimed,) = self.claim()
        return claimed

    def walk(self, claimed: Claimed, leg: int = 0, *, until: str | None = None) -> bool:
        """Carry the cohort as a chain would, up to but not into the step `until`; whether it came so far."""
        numbers = SAGAS.get(claimed.saga, claimed.version).numbers
        for stage in stretches(claimed, leg) if until is None else links(claimed, leg):
            if until is not None and any(message.step == numbers[until] for message in stage):
                return True
            went_on = [
                message.deliver(self.engine) for message in stage
            ]  # side by side: nobody waits for another
            if not all(went_on):
                return False
        return until is None

    def walk_sent(self) -> int:
        """Carry all that the carrier was given."""
        sent, self.carrier.sent = self.carrier.sent, []
        for claimed, leg in sent:
            self.walk(claimed, leg)
        return len(sent)

    def hurry(self) -> None:
        """Let time pass: what waits is due, what was leased is no longer."""
        self.sql("UPDATE runs SET due_at = now() - interval '1 s' WHERE state = 'w'")
        self.sql(
            "UPDATE breakers SET probe_at = now() - interval '1 s', probing_until = NULL WHERE probe_at > now()"
        )
        self.expire_leases()

    def expire_leases(self) -> None:
        self.sql("UPDATE executions SET lease_until = now() - interval '1 s' WHERE finished_at IS NULL")

    def settle(self, rounds: int = 60) -> None:
        """Claim, carry and sweep until nothing is under way."""
        for _ in range(rounds):
            self.hurry()
            self.engine.sweep()
            self.engine.claim()
            if not self.walk_sent() and not self.one(
                "SELECT count(*) FROM runs WHERE state = 'w' OR (state = 't' AND EXISTS (SELECT FROM slots "
                "WHERE cohort_id = runs.cohort_id))"
            ):
                return
            self.age()
        raise AssertionError("it does not settle")

    def age(self) -> None:
        """Let a minute pass for the cohorts that nobody moves."""
        self.sql("UPDATE cohorts SET progressed_at = progressed_at - interval '1 h' WHERE ended_at IS NULL")

    def sql(self, statement: str, **parameters: object) -> None:
        with self.db.begin() as connection:
            connection.execute(text(statement), parameters)

    def rows(self, statement: str, **parameters: object) -> list[Any]:
        with self.db.begin() as connection:
            return list(connection.execute(text(statement), parameters))

    def one(self, statement: str, **parameters: object) -> Any:
        ((value,),) = self.rows(statement, **parameters)
        return value

    def statuses(self) -> dict[str, str]:
        return {row[0]: row[1] for row in self.rows("SELECT id, status FROM uoop_orders")}

    def failures(self) -> dict[str, dict[str, object]]:
        return {
            row[0]: row[1]
            for row in self.rows("SELECT id, failure FROM uoop_orders WHERE failure IS NOT NULL")
        }

    def states(self) -> dict[str, str]:
        """The runs' states by order."""
        return {row[0]: row[1] for row in self.rows("SELECT order_id, state FROM runs")}

    def taken_slots(self) -> int:
        return int(self.one("SELECT count(*) FROM slots WHERE cohort_id IS NOT NULL"))

    def held_places(self) -> int:
        """Live holds, on which truth and ledger must agree."""
        now = datetime.now().astimezone()
        found = capacity.drift(self.db, self.ledger, now=now)
        assert found == {}, found
        return int(self.one("SELECT count(*) FROM capacity_holds WHERE released_at IS NULL"))

    def pooled(self) -> int:
        return int(self.one("SELECT count(*) FROM fleet_pool WHERE state = 'pooled'"))

    def standing(self) -> list[str]:
        """Keys of all effects that stand anywhere, the own fleet's pool among them."""
        pooled = [row[0] for row in self.rows("SELECT key FROM fleet_pool WHERE state = 'pooled'")]
        return self.book.standing() + pooled

    def everything(self) -> dict[str, list[Any]]:
        """What Postgres holds of runs, to be compared with what it holds later."""
        return {
            table: self.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
            for table in (
                "runs",
                "cohorts",
                "outcomes",
                "dispatch_attempts",
                "slots",
                "capacity_holds",
                "uoop_orders",
                "outbox_in",
            )
        }

    def add_courier(
        self, count: int = 1, *, tenant: str = "default", restaurant: str = "restaurant-1"
    ) -> None:
        """Give the tenant couriers of its own beside a restaurant whose place is known."""
        self.sql(
            "INSERT INTO restaurants (tenant_id, id, lat, lng) VALUES (:t, :r, 26.2, 50.6) ON CONFLICT DO NOTHING",
            t=tenant,
            r=restaurant,
        )
        self.sql(
            "INSERT INTO couriers (tenant_id, id, lat, lng, max_orders) "
            "SELECT :t, 'courier-' || n, 26.2, 50.6, 1000 FROM generate_series(1, :n) n",
            t=tenant,
            n=count,
        )

    def open_lane(self, name: str, *, slots: int) -> None:
        with self.db.begin() as connection:
            cohorts.open_lane(connection, name, slots=slots)
