"""Capacity: never oversold, never leaked, and not believed after it was lost."""

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine as Database
from together import all_at_once
from world import World

from app.capacity import model, service
from app.capacity.ledger import EPOCH_KEY, Held, Ledger, LedgerAway, LedgerLost
from app.capacity.model import Hold

NOW = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(
    hours=1
)  # Redis forgets what lies behind it
EPOCH = 1
KITCHEN = (
    "INSERT INTO restaurants (tenant_id, id, lat, lng, slot_capacity) "
    "VALUES ('default', 'restaurant-1', 0, 0, :n)"
)

_runs = itertools.count(1)


def hold(order: str, *, slot: str = "slot", limit: int = 10, lasts_s: int = 600) -> Hold:
    return Hold(next(_runs), order, slot, limit, NOW + timedelta(seconds=lasts_s))


@pytest.fixture
def ledger(client: "redis.Redis[bytes]") -> Ledger:
    made = Ledger(client)
    made.load([], [], epoch=EPOCH)
    return made


def reserve(ledger: Ledger, *holds: Hold, epoch: int = EPOCH, now: datetime = NOW) -> list[Held]:
    return ledger.reserve(holds, epoch=epoch, now=now)


def release(ledger: Ledger, *holds: Hold, epoch: int = EPOCH, now: datetime = NOW) -> None:
    ledger.release(holds, epoch=epoch, now=now)


def test_clients_at_once_never_oversell(redis_url: str, ledger: Ledger) -> None:
    clients = [redis.Redis.from_url(f"{redis_url}/9") for _ in range(64)]

    answers = all_at_once(
        [
            lambda n=n, c=c: reserve(Ledger(c), *(hold(f"{n}-{i}", limit=100) for i in range(4)))
            for n, c in enumerate(clients)
        ]
    )

    told = Counter(code for answer in answers for code in answer)
    assert told == {Held.HELD: 100, Held.FULL: 156}
    assert ledger.counts(epoch=EPOCH, now=NOW) == {"slot": 100}
    for client in clients:
        client.close()


def test_the_same_order_holds_one_place(ledger: Ledger) -> None:
    assert reserve(ledger, hold("a", limit=1), hold("a", limit=1)) == [Held.HELD, Held.HELD]
    assert reserve(ledger, hold("a", limit=1)) == [Held.HELD]
    assert ledger.counts(epoch=EPOCH, now=NOW) == {"slot": 1}


def test_a_released_place_is_anothers_and_not_the_same_ones(ledger: Ledger) -> None:
    mine = hold("mine", limit=1)
    reserve(ledger, mine)
    release(ledger, mine)
    release(ledger, mine)

    assert reserve(ledger, mine, hold("another", limit=1)) == [Held.RELEASED, Held.HELD]


def test_a_release_without_a_hold_leaves_a_tombstone(ledger: Ledger) -> None:
    release(ledger, hold("mine"))

    assert reserve(ledger, hold("mine")) == [Held.RELEASED]


def test_an_expired_hold_gives_its_place_back(ledger: Ledger) -> None:
    reserve(ledger, hold("short", limit=1, lasts_s=10))

    before = reserve(ledger, hold("next", limit=1), now=NOW + timedelta(seconds=9))
    after = reserve(ledger, hold("next", limit=1), now=NOW + timedelta(seconds=10))

    assert (before, after) == ([Held.FULL], [Held.HELD])


@pytest.mark.parametrize("lost", ["emptied", "of another epoch"])
def test_a_lost_ledger_answers_nothing(client: "redis.Redis[bytes]", ledger: Ledger, lost: str) -> None:
    if lost == "emptied":
        client.flushdb()
    else:
        client.set(EPOCH_KEY, EPOCH + 1)

    with pytest.raises(LedgerLost):
        reserve(ledger, hold("a"))
    with pytest.raises(LedgerLost):
        release(ledger, hold("a"))
    assert [key for key in client.scan_iter() if key != EPOCH_KEY.encode()] == []


def test_a_ledger_that_does_not_answer_is_away() -> None:
    nowhere = Ledger(redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0)))

    with pytest.raises(LedgerAway):
        reserve(nowhere, hold("a"))
    with pytest.raises(LedgerAway):
        nowhere.epoch()


def test_a_rebuilt_ledger_knows_holds_and_tombstones(world: World) -> None:
    held, given_back = world.accept(2)
    world.sql(KITCHEN, n=2)
    claimed = world.claim_one()
    world.walk(claimed, until="plan-fulfilment")
    world.sql("UPDATE capacity_holds SET released_at = now() WHERE order_id = :id", id=given_back)
    world.redis.flushdb()

    epoch = service.rebuild(world.db, world.ledger)

    ((slot, expires_at),) = world.rows(
        "SELECT slot, expires_at FROM capacity_holds WHERE order_id = :id", id=held
    )
    asked = [Hold(1, order, slot, 2, expires_at) for order in (given_back, held, "new", "too many")]
    answers = world.ledger.reserve(asked, epoch=epoch, now=datetime.now(UTC))
    assert answers == [Held.RELEASED, Held.HELD, Held.HELD, Held.FULL]


def test_a_hold_taken_in_an_old_epoch_is_not_kept(world: World) -> None:
    (order,) = world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until="reserve-capacity")
    real = world.ledger.reserve

    def overtaken(*args: object, **keywords: object) -> list[Held]:
        """The ledger is rebuilt between the hold and its keeping."""
        answers = real(*args, **keywords)  # type: ignore[arg-type]
        service.rebuild(world.db, world.ledger)
        return answers

    world.ledger.reserve = overtaken  # type: ignore[method-assign]
    world.walk(claimed, leg=1)
    world.ledger.reserve = real  # type: ignore[method-assign]
    between = world.held_places(), world.rows("SELECT code FROM outcomes WHERE step = 1")
    world.settle()

    assert between == (0, [("ledger-rebuilt",)])
    assert world.statuses() == {order: "CONFIRMED"}
    assert world.held_places() == 1


def test_a_release_in_an_old_epoch_is_made_again(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until="dispatch-to-partner")
    world.sql("UPDATE runs SET cancel_requested = true")
    world.walk(claimed, leg=4)
    real = world.ledger.release

    def overtaken(*args: object, **keywords: object) -> None:
        real(*args, **keywords)  # type: ignore[arg-type]
        world.ledger.release = real  # type: ignore[method-assign]
        service.rebuild(world.db, world.ledger)

    world.ledger.release = overtaken  # type: ignore[method-assign]
    world.settle()

    assert set(world.statuses().values()) == {"CANCELLED"}
    assert world.held_places() == 0


def test_orders_wait_for_a_lost_ledger_and_ask_for_its_rebuilding(world: World) -> None:
    (order,) = world.accept()
    world.redis.flushdb()
    world.walk(world.claim_one())
    rung = list(world.doorbell.rung)

    service.rebuild(world.db, world.ledger)
    world.settle()

    assert "reconcile" in rung
    assert world.statuses() == {order: "CONFIRMED"}


def test_rebuilding_waits_for_nobody_and_misses_nobody(world: World) -> None:
    """A transaction that is keeping holds of the old epoch ends before the new epoch opens."""
    with world.db.begin() as keeping:
        epoch = service.epoch(keeping)
        assert service.still(keeping, epoch)
        service.keep_holds(
            keeping, [Hold(run_id(world), "order", "slot", 1, datetime.now(UTC) + timedelta(hours=1))]
        )
        rebuilt: list[int] = []

        def rebuild() -> None:
            rebuilt.append(service.rebuild(world.db, world.ledger))

        def finish() -> None:
            while not (rebuilt or blocked(world)):
                pass
            keeping.commit()

        all_at_once([rebuild, finish])

    assert world.ledger.counts(epoch=rebuilt[0], now=datetime.now(UTC)) == {"slot": 1}


def run_id(world: World) -> int:
    return int(world.one("SELECT time_id()"))


def blocked(world: World) -> bool:
    """Whether somebody waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(world.one(waiting))


def test_drift_is_what_ledger_and_truth_do_not_share(world: World) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    with world.db.begin() as connection:
        epoch = service.epoch(connection)
        service.keep_holds(connection, [Hold(run_id(world), "only kept", "kept", 1, until)])
    world.ledger.reserve([Hold(1, "only held", "held", 1, until)], epoch=epoch, now=datetime.now(UTC))

    drift = service.drift(world.db, world.ledger, now=datetime.now(UTC))

    assert drift == {"kept": -1, "held": 1}


@pytest.mark.parametrize(
    ("at", "not_after", "until"),
    [
        ("12:00", "12:15", "12:20"),
        ("12:14", "12:29", "12:34"),
        ("12:00", "12:05", "12:20"),
        ("12:14", "12:14", "12:20"),
        ("18:00", "12:15", "18:20"),
    ],
)
def test_a_hold_outlives_its_window_and_its_orders_bound(at: str, not_after: str, until: str) -> None:
    def moment(clock: str) -> datetime:
        return datetime.fromisoformat(f"2026-11-23T{clock}:00+00:00")

    assert model.hold_expiry(moment(at), moment(not_after)) == moment(until)


LIMITS = {"s": 2, "t": 2, "zone": 3}
ORDERS, SLOTS, LASTING = st.sampled_from("abcdef"), st.sampled_from(["s", "t"]), st.integers(5, 60)
ASKED = st.lists(st.tuples(ORDERS, SLOTS, LASTING, st.booleans()), min_size=1, max_size=5)


class Ledgers(RuleBasedStateMachine):
    """The ledger, and what it promises, said as simply as possible: they always answer alike."""

    client: "redis.Redis[bytes]"

    @initialize()
    def begin(self) -> None:
        self.client.flushdb()
        self.ledger, self.now, self.epoch = Ledger(self.client), int(NOW.timestamp()), 1
        self.ledger.load([], [], epoch=self.epoch)
        self.held: dict[tuple[str, str], int] = {}
        self.gone: set[tuple[str, str]] = set()

    @rule(cohort=ASKED)
    def reserve(self, cohort: list[tuple[str, str, int, bool]]) -> None:
        holds = [self.hold(*asked) for asked in cohort]

        answers = self.ledger.reserve(holds, epoch=self.epoch, now=self.at())

        assert answers == [self.expected(each) for each in holds]

    @rule(cohort=ASKED)
    def release(self, cohort: list[tuple[str, str, int, bool]]) -> None:
        holds = [self.hold(*asked) for asked in cohort]
        self.ledger.release(holds, epoch=self.epoch, now=self.at())
        for each in holds:
            for slot in each.slots:
                self.held.pop((slot, each.order_id), None)
                self.gone.add((slot, each.order_id))

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.held = {place: until for place, until in self.held.items() if until > self.now}

    @rule()
    def rebuild(self) -> None:
        self.epoch += 1
        held = [(slot, order, until) for (slot, order), until in self.held.items()]
        gone = [(slot, order, self.now + 600) for slot, order in self.gone]
        self.ledger.load(held, gone, epoch=self.epoch)

    @invariant()
    def nothing_is_oversold_or_leaks(self) -> None:
        held = self.ledger.counts(epoch=self.epoch, now=self.at())

        assert held == Counter(slot for slot, _ in self.held)
        assert all(count <= LIMITS[slot] for slot, count in held.items())

    def hold(self, order: str, slot: str, lasts: int, zoned: bool) -> Hold:
        until = datetime.fromtimestamp(self.now + lasts, UTC)
        more = (("zone", LIMITS["zone"]),) if zoned else ()
        return Hold(1, order, slot, LIMITS[slot], until, more)

    def expected(self, asked: Hold) -> Held:
        places = [(slot, asked.order_id) for slot in asked.slots]
        until = int(asked.expires_at.timestamp())
        for place in {*places} & self.held.keys():  # whatever becomes of the others
            self.held[place] = max(self.held[place], until)
        if self.gone.intersection(places):
            return Held.RELEASED
        missing = [place for place in places if place not in self.held]
        if any(sum(held == slot for held, _ in self.held) >= LIMITS[slot] for slot, _ in missing):
            return Held.FULL
        self.held.update(dict.fromkeys(missing, until))
        return Held.HELD

    def at(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


def test_the_ledger_does_what_its_model_does(client: "redis.Redis[bytes]") -> None:
    class Machine(Ledgers):
        pass

    Machine.client = client
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=60, stateful_step_count=20, deadline=None)
    )


def test_clients_at_once_neither_oversell_nor_leak_across_slots(redis_url: str, ledger: Ledger) -> None:
    """Each takes cohorts in its own kitchen and all in one zone, and gives every other back."""
    clients = [redis.Redis.from_url(f"{redis_url}/9") for _ in range(64)]

    def play(n: int, client: "redis.Redis[bytes]") -> int:
        mine, kept = Ledger(client), 0
        for turn in range(4):
            until = NOW + timedelta(seconds=600)
            cohort = [
                Hold(1, f"{n}-{turn}-{i}", f"kitchen-{n % 8}", 30, until, (("zone", 100),)) for i in range(3)
            ]
            answers = mine.reserve(cohort, epoch=EPOCH, now=NOW)
            if turn % 2:
                mine.release(cohort, epoch=EPOCH, now=NOW)
            else:
                kept += answers.count(Held.HELD)
        return kept

    kept = all_at_once([lambda n=n, c=c: play(n, c) for n, c in enumerate(clients)])

    counts = ledger.counts(epoch=EPOCH, now=NOW)
    kitchens = {slot: count for slot, count in counts.items() if slot != "zone"}
    assert counts["zone"] == sum(kitchens.values()) == sum(kept) <= 100
    assert max(kitchens.values()) <= 30
    for client in clients:
        client.close()


def test_capacity_is_what_the_live_orders_hold(db: Database, client: "redis.Redis[bytes]") -> None:
    world = World.made(db, client, size=7)
    world.sql(KITCHEN, n=12)
    world.accept(30)

    world.settle()

    confirmed = sum(status == "CONFIRMED" for status in world.statuses().values())
    assert confirmed == world.held_places() == 12
