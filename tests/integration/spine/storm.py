"""A platform in a storm: executors interleaved and killed as a script says, and what must hold whatever it says."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from fake_providers import FakeProvider, Mood
from sqlalchemy import Engine as Database
from stage import Executor, Stage
from world import RANKING, STEPS, Message, QuietDoorbell, WalkingCarrier, World, links, stretches

from app import errors
from app.capacity import service as capacity
from app.capacity.ledger import Ledger
from app.runs import executions
from app.runs.allowed import Act
from app.runs.cohorts import Claimed
from sagas import engine as engine_module
from sagas.all import SAGAS
from sagas.engine import CRASHES_ALONE, Engine, Limits
from sagas.heartbeat import Heartbeat
from sagas.operations import Instruction, Operations
from sagas.steps import asking

Op = tuple[Any, ...]
SIDES = ("payment", "kitchens", *RANKING)
RESOURCES = ("authorizations", "captures", "placements", "dispatches")
MONEY_BACK = ["authorize-payment", "capture-payment", "return-money"]
EXECUTORS_AT_MOST = 6


@dataclass(frozen=True)
class Script:
    """
    What happens.

    :param orders: so many, in cohorts of `size`, in a kitchen with `limit` places
    :param stretched: whether one message carries the whole journey, or one step
    :param until: the step up to which all goes well
    :param fleet: whether there are couriers of our own
    :param deaf: whose answers to "do" are lost for ever, so that he must be asked otherwise
    :param moods: how the providers treat calls from the start on: (who, op, mood, times)
    :param ops: what happens then, by the names of Storm's methods
    """

    orders: int = 1
    size: int = 3
    limit: int = 3
    stretched: bool = False
    until: str | None = None
    fleet: bool = False
    deaf: str | None = None
    moods: Sequence[tuple[str, str, Mood, int]] = ()
    ops: Sequence[Op] = ()


class SteppedLedger(Ledger):
    """Yields around each call."""

    stage: Stage

    def _call(self, *arguments: Any) -> Any:
        self.stage.pause("before ledger")
        answer = super()._call(*arguments)
        self.stage.pause("after ledger")
        return answer

    def load(self, *arguments: Any, **keywords: Any) -> None:
        self.stage.pause("before load")
        super().load(*arguments, **keywords)
        self.stage.pause("after load")


class SteppedCarrier(WalkingCarrier):
    """Yields around each sending."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def send(self, claimed: Claimed, *, leg: int) -> None:
        self._stage.pause("before send")
        super().send(claimed, leg=leg)
        self._stage.pause("after send")


class StillHeartbeat(Heartbeat):
    """Leases end when the script says so."""

    @contextmanager
    def keeping(self, *_: Any) -> Iterator[None]:
        yield


class OneAfterTheOther:
    """In place of a thread pool, so that a schedule can be repeated."""

    def __init__(self, **_: Any) -> None: ...

    def __enter__(self) -> "OneAfterTheOther":
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, work: Callable[[Any], Any], items: Any) -> list[Any]:
        return [work(item) for item in items]


@dataclass
class Journey:
    """A cohort's chain in one epoch, as the broker has it."""

    stages: list[list[Message]]
    joined: dict[int, set[int | None]] = field(default_factory=dict)

    def after(self, message: Message) -> list[Message]:
        """What the carrier sends once this message's executor has said that it goes on."""
        n = next(n for n, stage in enumerate(self.stages) if message in stage)
        following = self.stages[n + 1] if n + 1 < len(self.stages) else []
        *branches, last = self.stages[n]
        if not branches or message == last:
            return [m for m in following if m.step is not None]
        back = self.joined.setdefault(n, set())
        back.add(message.step)
        return [last] if len(back) == len(branches) else []


class Storm:
    """Runs a script; each of its methods without an underscore is something that may happen."""

    def __init__(self, world: World, stage: Stage, script: Script) -> None:
        self.world, self.stage, self.script = world, stage, script
        self.inbox: list[Message] = []
        self.journeys: dict[tuple[int, int], Journey] = {}
        self.delivered: dict[Executor, Message] = {}
        self.dead: list[Message] = []
        self.barred: set[str] = set()
        self.may_fail: set[str] = set()
        self.may_park = False
        self.orders: list[str] = []
        self._carries = stretches if script.stretched else links

    # what may happen

    def claim(self) -> None:
        self._hurry()
        self._start("claim", self.world.engine.claim)

    def sweep(self) -> None:
        self._start("sweep", self.world.engine.sweep)

    def deliver(self, n: int) -> None:
        """An executor takes a message."""
        if self.inbox:
            self._take(self.inbox.pop(n % len(self.inbox)))

    def double(self, n: int) -> None:
        """An executor takes a message, and it stays in the queue."""
        if self.inbox:
            self._take(self.inbox[n % len(self.inbox)])

    def lose(self, n: int) -> None:
        if self.inbox:
            self.inbox.pop(n % len(self.inbox))

    def step(self, n: int, times: int | None) -> None:
        """An executor goes on for a while."""
        free = self.stage.free()
        if free:
            self.stage.step(free[n % len(free)], times)

    def to(self, n: int, moment: str) -> None:
        """An executor goes on until it is there."""
        free = self.stage.free()
        if free:
            executor = free[n % len(free)]
            self.stage.step(executor)
            while executor in self.stage.free() and executor.at != moment:
                self.stage.step(executor)

    def overtake(self, times: int) -> None:
        """All who hold a lease sleep past it, and others go on with what they had."""
        self.sleep()
        self.go(times)

    def kill(self, n: int) -> None:
        free = self.stage.free()
        if free:
            executor = free[n % len(free)]
            self.stage.kill(executor)
            if executor in self.delivered:
                self.dead.append(self.delivered[executor])

    def mishear(self, n: int) -> None:
        """An executor's next commit is done, but it is told otherwise."""
        free = self.stage.free()
        if free:
            free[n % len(free)].mishears = True

    def redeliver(self, n: int) -> None:
        """The broker gives what a dead executor had to another."""
        if self.dead:
            self._take(self.dead[n % len(self.dead)])

    def bury(self, n: int) -> None:
        """A worker tells which of its children has died."""
        if self.dead:
            found = self.dead[n % len(self.dead)]
            self._start(
                "bury", lambda: self.world.engine.carrier_died(found.cohort_id, found.epoch, found.steps)
            )

    def go(self, times: int) -> None:
        """Nothing is wrong: the next message is taken and dealt with, again and again."""
        for _ in range(times):
            if not self.inbox:
                self.claim()
                self._finish_last()
            if self.inbox:
                self.deliver(0)
                self._finish_last()
            self._collect()

    def sleep(self) -> None:
        """All who hold a lease sleep past it, and the sweep comes by."""
        self._free_sql(
            "UPDATE executions SET lease_until = '-infinity' WHERE (cohort_id, step) IN (SELECT cohort_id, step "
            "FROM executions WHERE finished_at IS NULL FOR UPDATE SKIP LOCKED)"
        )
        self.sweep()
        self._finish_last()

    def age(self) -> None:
        self._free_sql(
            "UPDATE cohorts SET progressed_at = '-infinity' WHERE id IN "
            "(SELECT id FROM cohorts WHERE ended_at IS NULL FOR UPDATE SKIP LOCKED)"
        )

    def empty_broker(self) -> None:
        self.inbox.clear()
        self.world.carrier.empty()

    def mood(self, who: str, op: str, mood: Mood, times: int) -> None:
        self._side(who).behave(mood, op=op, times=times)
        if mood is Mood.REFUSE:
            self.may_fail.update(self.orders)
            self.may_park |= op == "undo" or who == "payment"  # which may refuse a capture

    def arrive(self) -> None:
        """What was late at a provider's arrives."""
        for provider in self.world.providers():
            provider.arrive()

    def cancel(self, n: int) -> None:
        order = self.orders[n % len(self.orders)]
        desk = Operations(self.world.db, SAGAS, self.world.doorbell)

        def ask() -> None:
            with suppress(errors.UoopError):
                desk.act("default", order, Instruction(act=Act.CANCEL, who="customer", why="storm"))
                self.barred.add(order)

        self.may_fail.add(order)
        self._start("cancel", ask)

    def late(self, n: int) -> None:
        """An order's bound is over."""
        self._bar(
            n,
            "WITH run AS (SELECT id FROM runs WHERE order_id = :order AND NOT gated FOR UPDATE SKIP LOCKED) "
            "UPDATE runs r SET not_after = now() - interval '1 s' FROM run WHERE r.id = run.id RETURNING r.id",
        )

    def lapse(self, n: int) -> None:
        """An order's hold expires."""
        order = self._bar(
            n,
            "WITH run AS (SELECT id FROM runs WHERE order_id = :order AND NOT gated FOR UPDATE SKIP LOCKED), "
            "hold AS (SELECT run_id FROM capacity_holds WHERE order_id = :order FOR UPDATE SKIP LOCKED) "
            "UPDATE capacity_holds h SET expires_at = now() - interval '1 s' FROM run, hold "
            "WHERE h.run_id = run.id AND h.run_id = hold.run_id RETURNING h.run_id",
        )
        for key in self.world.redis.scan_iter(match="*:hold:*") if order else ():
            self.world.redis.zrem(key, order)

    def empty_ledger(self) -> None:
        self.world.redis.flushdb()

    def reconcile(self) -> None:
        self._start("reconcile", lambda: capacity.rebuild(self.world.db, self.world.ledger))

    # how it is done

    def run(self) -> None:
        script = self.script
        if script.fleet:
            self.world.add_courier()
        self.orders = self.world.accept(script.orders)
        if script.limit < script.orders:
            self.may_fail.update(self.orders)
        if script.until is not None:
            self._go_well(script.until)
        for mood in script.moods:
            self.mood(*mood)
        for name, *arguments in script.ops:
            getattr(self, name)(*arguments)
            self._collect()
            self._check_always()
        self._to_the_end()
        self._check_end()

    def _go_well(self, until: str) -> None:
        self.world.engine.claim()
        self._collect()
        while self.inbox:
            message = self.inbox.pop(0)
            if STEPS[until] in message.steps:
                self.inbox.insert(0, message)
                return
            if message.deliver(self.world.engine):
                self._goes_on(message)
            self._collect()

    def _to_the_end(self) -> None:
        while self.stage.executors:
            before = [(e, e.at) for e in self.stage.executors]
            for executor in self.stage.free():
                self.stage.step(executor, None)
            self._collect()
            assert before != [(e, e.at) for e in self.stage.executors], "executors wait for each other"
        for provider in self.world.providers():
            provider.recover()
        if self.script.deaf:
            self._side(self.script.deaf).behave(Mood.LOSE_ANSWER)
        while self.inbox:
            message = self.inbox.pop(0)
            if message.deliver(self.world.engine):
                self._goes_on(message)
            self._collect()
        if self.world.ledger.epoch() != self.world.one("SELECT epoch FROM capacity_ledger"):
            capacity.rebuild(self.world.db, self.world.ledger)
        self.world.settle()
        self.arrive()

    def _check_always(self) -> None:
        assert not self.stage.deadlocks, f"deadlock: {self.stage.deadlocks}"
        held = self.world.one(
            "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM capacity_holds "
            "WHERE released_at IS NULL AND expires_at > now() GROUP BY slot) h"
        )
        assert held <= self.script.limit, f"oversold: {held}"

    def _check_end(self) -> None:
        self._check_always()
        world = self.world
        for resource in RESOURCES:
            assert world.book.most(resource) <= 1, f"{resource} twice: {world.book.effects}"
        assert world.taken_slots() == 0, "a slot leaks"
        states = world.states()
        assert set(states.values()) <= {"e", "p"}, f"not at its end: {states}"
        held = {
            row[0]
            for row in world.rows(
                "SELECT order_id FROM capacity_holds WHERE released_at IS NULL AND expires_at > now()"
            )
        }
        world.held_places()
        standing = world.standing()
        for order, status in world.statuses().items():
            its = sorted(key.removeprefix(order).split(":")[1] for key in standing if key.startswith(order))
            if states[order] == "p":
                self._check_parked(order)
                assert its.count("dispatch-to-partner") <= 1, f"two dispatches: {its}"
                continue
            assert status in ("CONFIRMED", "FAILED", "CANCELLED"), f"ended as {status}"
            if status == "CONFIRMED":
                assert its == sorted(
                    ["authorize-payment", "capture-payment", "dispatch-to-partner", "place-with-restaurant"]
                ), f"confirmed with {its}"
                assert order in held or order in self.may_fail, "confirmed without its place"
                assert order not in self.barred, "passed the gate, and should not have"
            elif status == "CANCELLED" and its == MONEY_BACK:
                continue  # cancelled after its promise: what was taken has been given back
            else:
                assert its == [], f"{status}, and there stand {its}"
                assert order not in held, "its place leaks"
                assert order in self.may_fail, f"failed for nothing: {world.failures()}"
        self._check_events()

    def _check_parked(self, order: str) -> None:
        starts = self.world.one(
            "SELECT max(e.starts) FROM executions e JOIN runs r ON e.cohort_id = ANY(r.trail) WHERE r.order_id = :o",
            o=order,
        )
        failure = self.world.one("SELECT failure FROM runs WHERE order_id = :o", o=order)
        assert self.may_park or starts >= CRASHES_ALONE, f"parked for nothing: {failure}"
        assert failure["code"], "parked without a reason"

    def _check_events(self) -> None:
        told: dict[str, list[tuple[int, str]]] = {}
        for order, sequence, kind in self.world.rows(
            "SELECT order_id, sequence, type FROM outbox_in ORDER BY order_id, sequence, id"
        ):
            told.setdefault(order, []).append((sequence, kind))
        for order, status in self.world.statuses().items():
            wanted = [(1, "order.accepted")]
            if status != "PENDING":
                wanted.append((2, f"order.{status.lower()}"))
            assert told[order] == wanted, f"events of {status}: {told[order]}"

    def _start(
        self, name: str, work: Callable[[], Any], over: Callable[[Any], None] = lambda _: None
    ) -> None:
        if len(self.stage.executors) < EXECUTORS_AT_MOST:
            self.stage.start(name, work, over)

    def _take(self, message: Message) -> None:
        if len(self.stage.executors) >= EXECUTORS_AT_MOST:
            return

        def over(goes_on: bool) -> None:
            if goes_on:
                self._goes_on(message)

        executor = self.stage.start(str(message), lambda: message.deliver(self.world.engine), over)
        self.delivered[executor] = message

    def _goes_on(self, message: Message) -> None:
        self.inbox += self.journeys[message.cohort_id, message.epoch].after(message)

    def _finish_last(self) -> None:
        if self.stage.executors:
            self.stage.step(self.stage.executors[-1], None)
        self._collect()

    def _collect(self) -> None:
        """Take over what was given to the carrier."""
        sent, self.world.carrier.sent = self.world.carrier.sent, []
        for claimed, leg in sent:
            journey = Journey(list(self._carries(claimed, leg)))
            self.journeys[claimed.id, claimed.epoch] = journey
            self.inbox += [message for message in journey.stages[0] if message.step is not None]

    def _bar(self, n: int, statement: str) -> str | None:
        """Take from an order what the gate asks for, unless it has passed."""
        order = self.orders[n % len(self.orders)]
        if not self.world.rows(statement, order=order):
            return None
        self.may_fail.add(order)
        self.barred.add(order)
        return order

    def _hurry(self) -> None:
        self._free_sql(
            "UPDATE runs SET due_at = now() - interval '1 s' WHERE id IN "
            "(SELECT id FROM runs WHERE state = 'w' FOR UPDATE SKIP LOCKED)"
        )

    def _free_sql(self, statement: str, **parameters: object) -> None:
        """Waits for nobody."""
        self.world.sql(statement, **parameters)

    def _side(self, who: str) -> FakeProvider:
        return self.world.partners.get(who) or getattr(self.world, who)


def rage(db: Database, client: "redis.Redis[bytes]", script: Script) -> None:
    """
    Let the script happen on an empty platform, then everything calm down.

    :raises AssertionError: if a promise was broken
    """
    world, stage = World.made(db, client, size=script.size), Stage(db)
    with pytest.MonkeyPatch.context() as patch, closing(stage):
        ledger = SteppedLedger(client)
        ledger.stage = stage
        world.ledger = ledger
        world.ports = replace(world.ports, ledger=ledger, slot_capacity=script.limit)
        world.carrier = SteppedCarrier(stage)
        world.doorbell = QuietDoorbell()
        world.engine = Engine(
            world.ports,
            SAGAS,
            world.carrier,
            world.doorbell,
            StillHeartbeat(db),
            Limits(cohort_size=script.size, lane_interval_s=0.0),
        )
        for provider in world.providers():
            patch.setattr(provider, "_happen", stage.pause)
        patch.setattr(asking, "ThreadPoolExecutor", OneAfterTheOther)
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: stage.pause("sleep"))
        patch.setattr(engine_module, "time", clock)
        patch.setitem(executions.begin.__kwdefaults__, "lease_s", 3600.0)
        Storm(world, stage, script).run()
