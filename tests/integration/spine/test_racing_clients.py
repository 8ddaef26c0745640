"""One key, one order: over HTTP, by two processes of the API, whoever races and whatever Redis forgets."""

import http.client
import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, text
from world import World

from app.tenants import keys
from infra import kept, stack
from infra.settings import Settings
from web.description import examples

ROOT = Path(__file__).parents[3]
# An external id would keep a second order out by itself
ORDER = json.dumps(
    {name: value for name, value in examples.PLANNED_ORDER.items() if name != "external_order_id"}
)
CLIENTS = 64
BOUND_S = 60


@dataclass(frozen=True)
class Answer:
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def is_replay(self) -> bool:
        return self.fields.get("idempotency-replayed") == "true"


@dataclass(frozen=True)
class Api:
    """One process of the API."""

    port: int

    def ask(self, method: str, path: str, token: str, body: str | None = None, **fields: str) -> Answer:
        connection = http.client.HTTPConnection(kept.LOOPBACK, self.port, timeout=BOUND_S)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}", **fields})
            told = connection.getresponse()
            return Answer(told.status, {key.lower(): value for key, value in told.getheaders()}, told.read())
        finally:
            connection.close()

    def submit(self, token: str) -> Answer:
        fields = {"Idempotency-Key": "the-key", "Content-Type": "application/json"}
        return self.ask("POST", "/v1/orders", token, ORDER, **fields)


@contextmanager
def running(settings: Settings) -> Iterator[Api]:
    (api,) = [each for each in stack.processes(settings) if each.name == "api"]
    server = subprocess.Popen(api.command, env={**api.env, "PYTHONPATH": str(ROOT)})
    try:
        end = time.monotonic() + BOUND_S
        while not api.ready():
            assert server.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield Api(settings.port)
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def processes(
    shared_engine: Engine, own_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sequence[Api]]:
    url = shared_engine.url.render_as_string(hide_password=False)
    with ExitStack() as both:
        yield [
            both.enter_context(running(_settings(tmp_path_factory.mktemp("api"), url, own_redis_url)))
            for _ in "ab"
        ]


def _settings(home: Path, database_url: str, redis_url: str) -> Settings:
    return Settings(
        home=home, port=kept.port(home, "api"), database_url=database_url, redis_url=redis_url, only="api"
    )  # type: ignore[arg-type]


@pytest.fixture
def token(world: World, processes: Sequence[Api]) -> str:
    """One that both processes remember: the hot lane hands others on."""
    with world.db.begin() as connection:
        made = keys.create(connection, "default", scopes=["orders:write", "orders:read"], who="test")
    assert {each.ask("GET", "/v1/orders/none", made).status for each in processes} == {404}
    return made


@contextmanager
def no_key_kept(world: World) -> Iterator[None]:
    """Meanwhile who has looked for a key and found none cannot write it down."""
    with world.db.connect() as holding:
        kept_in = holding.execute(
            text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:of AS regclass)"),
            {"of": "idempotency_keys"},
        ).scalars()
        holding.execute(text(f"LOCK TABLE {', '.join(kept_in)} IN SHARE MODE"))
        yield


def test_of_all_who_race_with_one_key_one_makes_the_order(
    world: World, processes: Sequence[Api], token: str, eventually: Callable[..., object]
) -> None:
    clients = [partial(processes[n % 2].submit, token) for n in range(CLIENTS)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        with no_key_kept(world):
            racing = [pool.submit(client) for client in clients]
            eventually(lambda: any(each.done() for each in racing))  # told that another is in flight
        raced = [each.result() for each in racing]
        again = [each.result() for each in [pool.submit(client) for client in clients]]

    taken = [answer for answer in raced if answer.status == 202]
    refused = [answer for answer in raced if answer.status != 202]
    assert Counter(answer.is_replay for answer in taken)[False] == 1
    assert {(answer.status, json.loads(answer.body)["code"]) for answer in refused} == {
        (409, "request-in-flight")
    }
    assert all(int(answer.fields["retry-after"]) >= 1 for answer in refused)
    assert {(answer.status, answer.is_replay) for answer in again} == {(202, True)}
    assert len({answer.body for answer in taken + again}) == 1
    assert world.rows("SELECT id FROM uoop_orders") == [(json.loads(again[0].body)["tracking_id"],)]


def test_a_key_is_known_after_redis_was_emptied(
    world: World, processes: Sequence[Api], token: str, own_redis_url: str
) -> None:
    first = processes[0].submit(token)

    with redis.Redis.from_url(own_redis_url) as store:
        assert store.flushall()
    again = [each.submit(token) for each in processes]

    assert (first.status, first.is_replay) == (202, False)
    assert [(answer.status, answer.is_replay, answer.body) for answer in again] == [
        (202, True, first.body)
    ] * 2
    assert world.one("SELECT count(*) FROM uoop_orders") == 1
