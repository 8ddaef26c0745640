"""What is kept of orders is never older than what was known, and losing it costs nothing but time."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
import redis
from prometheus_client import REGISTRY
from test_reading import view, views
from world import World

from app.orders.views import OrderView
from app.outbox import queries as events
from app.outbox import sequencer
from app.outbox.model import Event
from app.outbox.queries import Selection
from app.runs.allowed import Act
from infra.changes import Watcher
from infra.status_cache import CHANNEL, Announcer, StatusCache
from infra.wiring import redis_client, redis_client_for_loop
from sagas.all import SAGAS
from sagas.operations import Instruction, Operations
from web.services import OrderKey
from web.tracking import Tracking

WITHIN_S = 10.0


class Counting:
    """Reads orders as Postgres has them, and counts."""

    def __init__(self, world: World) -> None:
        self.world, self.reads = world, 0

    def __call__(self, wanted: Sequence[OrderKey]) -> Mapping[OrderKey, OrderView]:
        self.reads += 1
        return views(self.world, wanted)


@pytest.fixture
def read(world: World) -> Counting:
    return Counting(world)


def cache_at(url: str) -> StatusCache:
    return StatusCache(
        redis_client(url, connect_s=0.2, answer_s=0.2),
        redis_client_for_loop(url, connect_s=0.2, answer_s=0.2),
    )


@pytest.fixture
def cache(client: "redis.Redis[bytes]", client_url: str) -> StatusCache:
    return cache_at(client_url)


@pytest.fixture
def cache_away() -> StatusCache:
    return cache_at("redis://127.0.0.1:1/0")


def many(cache: StatusCache, *orders: OrderKey) -> list[bytes | None]:
    """What it has of them, asked on an event loop."""

    async def ask() -> list[bytes | None]:
        try:
            return await cache.get_all(orders)
        finally:
            await cache._on_loop.aclose()

    return asyncio.run(ask())


@pytest.fixture
def tracking(read: Counting, cache: StatusCache) -> Tracking:
    return Tracking(read, cache)


def status(tracking: Tracking, order: str) -> str:
    found = tracking.find(("default", order))
    assert found
    return found.status


def keep(cache: StatusCache, order: str, told: bytes, *, rank: tuple[int, int]) -> None:
    cache.put([(("default", order), told, rank, 60_000)])


def event_of(order: str, version: int) -> Event:
    return Event(1, 1, "default", order, version, "order.confirmed", {}, datetime.now(UTC))


def hits(result: str) -> float:
    return REGISTRY.get_sample_value("uoop_status_cache_reads_total", {"result": result}) or 0.0


def test_an_order_is_read_once_and_told_again(world: World, tracking: Tracking, read: Counting) -> None:
    (order,) = world.accept()
    before = hits("hit"), hits("miss")

    told = [tracking.find(("default", order)) for _ in range(3)]

    assert told[0] == told[1] == told[2]
    assert (read.reads, hits("hit") - before[0], hits("miss") - before[1]) == (1, 2, 1)


def test_what_is_kept_is_no_longer_told_when_the_change_is_announced(
    world: World, tracking: Tracking, client: "redis.Redis[bytes]"
) -> None:
    (order,) = world.accept()
    pending = status(tracking, order)
    world.settle()

    Announcer(client).announce([event_of(order, 2)])

    assert (pending, status(tracking, order)) == ("PENDING", "CONFIRMED")


def test_what_was_read_before_a_change_is_not_kept_after_it(
    world: World, client: "redis.Redis[bytes]", cache: StatusCache
) -> None:
    """A slow reader comes back after the change was announced, or after somebody has read it."""
    (order,) = world.accept()
    keep(cache, order, b"pending", rank=(1, 5))

    Announcer(client).announce([event_of(order, 2)])
    keep(cache, order, b"pending", rank=(1, 9))
    after_the_announcement = cache.get(("default", order))
    keep(cache, order, b"confirmed", rank=(2, 3))
    keep(cache, order, b"pending", rank=(1, 9))
    keep(cache, order, b"confirmed before", rank=(2, 2))

    assert (after_the_announcement, cache.get(("default", order))) == (None, b"confirmed")


def test_what_is_done_to_an_order_at_rest_is_told_at_once(
    world: World, cache: StatusCache, tracking: Tracking
) -> None:
    (order,) = world.accept()
    world.sql("UPDATE runs SET state = 'p'")
    stages = [stage(tracking, order)]

    desk = Operations(world.db, SAGAS, world.doorbell, acted_on=cache.outdate)
    desk.act("default", order, Instruction(act=Act.RETRY, who="ali", why="because"))
    stages.append(stage(tracking, order))

    assert stages == [None, "validate-order"]


def test_what_was_read_before_something_was_done_is_not_kept_after_it(cache: StatusCache) -> None:
    keep(cache, "o", b"at rest", rank=(3, 5))

    cache.outdate([("default", "o")])
    keep(cache, "o", b"at rest", rank=(3, 6))
    before = cache.get(("default", "o"))
    keep(cache, "o", b"on its way", rank=(3, 10**14))

    assert (before, cache.get(("default", "o"))) == (None, b"on its way")


def stage(tracking: Tracking, order: str) -> str | None:
    found = tracking.find(("default", order))
    assert found
    told: str | None = msgspec.json.decode(found.body)["stage"]
    return told


def test_an_announcement_that_comes_late_leaves_what_is_newer(
    client: "redis.Redis[bytes]", cache: StatusCache
) -> None:
    keep(cache, "o", b"third", rank=(3, 5))

    Announcer(client).announce([event_of("o", 2), event_of("o", 3)])

    assert cache.get(("default", "o")) == b"third"


def test_a_cache_that_was_emptied_is_filled_again(
    world: World, tracking: Tracking, read: Counting, client: "redis.Redis[bytes]"
) -> None:
    (order,) = world.accept()
    status(tracking, order)
    client.flushdb()

    assert [status(tracking, order) for _ in range(2)] == ["PENDING", "PENDING"]
    assert read.reads == 2


def test_a_cache_that_is_away_changes_no_answer(
    world: World, read: Counting, cache_away: StatusCache
) -> None:
    (order,) = world.accept()
    tracking = Tracking(read, cache_away)
    before = hits("away")

    assert many(cache_away, ("default", order), ("default", "another")) == [None, None]
    assert hits("away") - before == 2
    assert [status(tracking, order) for _ in range(3)] == ["PENDING"] * 3
    Announcer(cache_away._client).announce([event_of(order, 2)])


def test_many_are_found_in_one_question_as_each_alone(
    client: "redis.Redis[bytes]", cache: StatusCache
) -> None:
    for order in ("a", "b", "outrun"):
        keep(cache, order, order.encode(), rank=(1, 5))
    Announcer(client).announce([event_of("outrun", 2)])
    asked = [("default", order) for order in ("b", "gone", "outrun", "a")] + [("another", "a")]
    before = hits("hit"), hits("miss")

    found = many(cache, *asked)

    assert found == [b"b", None, None, b"a", None]
    assert (hits("hit") - before[0], hits("miss") - before[1]) == (2, 3)
    assert found == [cache.get(order) for order in asked]


def test_many_are_read_at_a_time_as_each_alone(world: World, tracking: Tracking) -> None:
    mine, parked, failed = world.accept(3)
    world.settle()
    world.sql("UPDATE runs SET state = 'p' WHERE order_id = :id", id=parked)
    world.sql(
        "UPDATE uoop_orders SET status = 'FAILED', failure = '{\"code\": \"expired\"}' WHERE id = :id",
        id=failed,
    )
    asked = [("default", order) for order in (failed, mine, "nobody's", parked)] + [("another", mine)]

    found = tracking.read(asked)

    assert [told and told.status for told in found] == ["FAILED", "CONFIRMED", None, "CONFIRMED", None]
    assert found == [tracking.read([order])[0] for order in asked]


def test_a_kept_order_is_not_told_to_another_tenant(world: World, tracking: Tracking) -> None:
    (order,) = world.accept()
    status(tracking, order)

    assert tracking.find(("another", order)) is None
    assert tracking.find(("default", f"{order}:another")) is None


def test_who_asks_at_the_same_time_shares_one_reading(world: World, cache_away: StatusCache) -> None:
    (order,) = world.accept()
    key = ("default", order)
    reads: list[OrderKey] = []
    told: list[object] = []
    others = [threading.Thread(target=lambda: told.append(tracking.find(key))) for _ in range(4)]

    def slow(wanted: Sequence[OrderKey]) -> Mapping[OrderKey, OrderView]:
        reads.extend(wanted)
        for other in others:
            other.start()
        while len(tracking._under_way[key]._condition._waiters) < len(others):  # type: ignore[attr-defined]
            pass
        return views(world, wanted)

    tracking = Tracking(slow, cache_away)
    tracking.find(key)
    for other in others:
        other.join(WITHIN_S)

    assert (reads, len(told)) == ([key], 4)


class Waiting:
    """Somebody who waits for orders, and notes what is told."""

    def __init__(self, *orders: str) -> None:
        self.orders, self.told = list(orders), threading.Event()
        self.versions: dict[str, int] = {}

    def watched(self) -> list[str]:
        return self.orders

    def tell(self, versions: Mapping[str, int]) -> None:
        self.versions.update(versions)
        if any(version > 1 for version in self.versions.values()):
            self.told.set()


@pytest.fixture
def watch(world: World) -> Iterator[Callable[["redis.Redis[bytes]", Waiting], None]]:
    watchers: list[Watcher] = []

    def begin(client: "redis.Redis[bytes]", waiting: Waiting) -> None:
        watchers.append(Watcher(client, world.db))
        watchers[-1].follow(waiting)

    yield begin
    for watcher in watchers:
        watcher.stop()


def listeners(client: "redis.Redis[bytes]") -> int:
    """Watchers of other tests among them."""
    return int(client.pubsub_numsub(CHANNEL)[0][1])


def test_who_waits_is_told_of_what_is_announced(
    world: World, client: "redis.Redis[bytes]", watch: Callable[..., None]
) -> None:
    waiting = Waiting("some-order")  # of which Postgres knows nothing
    others = listeners(client)
    watch(client, waiting)
    while listeners(client) <= others:
        pass

    Announcer(client).announce([event_of("some-order", 4)])

    assert waiting.told.wait(WITHIN_S)
    assert waiting.versions == {"some-order": 4}


@pytest.mark.parametrize("away", [False, True])
def test_who_waits_is_told_though_nothing_was_announced(
    world: World, client: "redis.Redis[bytes]", watch: Callable[..., None], away: bool
) -> None:
    (order,) = world.accept()
    waiting = Waiting(order)
    watch(redis_client("redis://127.0.0.1:1/0") if away else client, waiting)

    world.settle()

    assert waiting.told.wait(WITHIN_S)
    assert waiting.versions == {order: 2}


def test_the_versions_that_are_announced_are_those_of_the_orders(world: World) -> None:
    (order,) = world.accept()
    world.settle()
    with world.db.begin() as connection:
        sequencer.sequence(connection)
        log = events.page(connection, Selection(order_id=order), after=0, limit=10)

    told = view(world, order)
    assert told
    assert log[-1].sequence == told.version


def test_the_events_of_an_order_are_found_in_the_log(world: World) -> None:
    mine, another = world.accept(2)
    world.settle()
    with world.db.begin() as connection:
        sequencer.sequence(connection)

    with world.db.begin() as connection:
        told = [
            events.of_order(connection, tenant, order, after=after)
            for tenant, order, after in (
                ("default", mine, 0),
                ("default", mine, 1),
                ("another", mine, 0),
                ("default", another, 2),
            )
        ]

    assert [[event.sequence for event in found] for found in told] == [[1, 2], [2], [], []]
    assert {event.order_id for event in told[0]} == {mine}
