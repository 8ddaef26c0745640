"""
No route tells a tenant anything of another's orders: the description is walked, so that a new route is asked too,
by either lane.

A route with an identifier answers a stranger as it answers anybody who asks for what never was.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lanes
import pytest
import redis
from described import Operation, name, operations
from prometheus_client import REGISTRY
from sqlalchemy import Engine, text
from werkzeug.test import Client, TestResponse
from world import QuietDoorbell, World

from app.callbacks.callers import Caller
from app.callbacks.formats import FORMATS
from app.callbacks.service import Callbacks, Received
from app.callbacks.signature import Signed, sign
from app.capacity import usage
from app.deliveries.model import Reporter
from app.limits.service import Limiter
from app.tenants import keys, service
from infra import front_door
from infra.settings import Settings
from web import tracking
from web.app import create_app
from web.description import examples
from web.hot_lane import HotLane

NEVER_WAS = {
    "order_id": "018f3b2c-0000-7000-8000-000000000000",
    "run_id": "17",
    "difference_id": "17",
    "webhook_id": "018f3b2c-0000-7000-8000-000000000001",
}
WEBHOOK = "a-webhook-of-acme"


ALL = sorted((each for each in operations() if each[2]["security"]), key=name)
FOR_ALL_TENANTS = {f"POST /v1/ops/pauses/{{kind}}/{{name}}/{act}" for act in ("pause", "resume")} | {
    f"POST /v1/ops/channels/{{partner}}/{act}" for act in ("force", "release")
}  # scope admin
OF_PARTNERS = {"POST /v1/partners/{partner}/callbacks"}  # signed; below
TELLS_NO_ORDER = {"GET /v1/ops/pauses", "GET /v1/ops/differences/summary", "GET /v1/webhooks"} | {
    f"GET /v1/ops/{path}"
    for path in (
        "capacity",
        "capacity/picture",
        "capacity/limits",
        "channels",
        "couriers",
        "forecast",
        "forecast/picture",
    )
}
WITH_ID = [each for each in ALL if "{" in each[1] and name(each) not in FOR_ALL_TENANTS | OF_PARTNERS]
LISTS = [each for each in ALL if "{" not in each[1] and each[0] == "GET"]
OTHERS = (
    {name(each) for each in ALL if each not in WITH_ID and each not in LISTS} - FOR_ALL_TENANTS - OF_PARTNERS
)


@dataclass
class Door:
    """The front door before a real database; one order of the tenant `acme` is inside."""

    by: dict[str, Client]
    tokens: dict[str, str]
    order_id: str
    run_id: str
    difference_id: str

    @property
    def ids(self) -> dict[str, str]:
        return {
            "order_id": self.order_id,
            "run_id": self.run_id,
            "difference_id": self.difference_id,
            "webhook_id": WEBHOOK,
        }

    @property
    def client(self) -> Client:
        return self.by["Flask"]

    def ask(self, who: str, operation: Operation, ids: dict[str, str], lane: str = "Flask") -> TestResponse:
        method, path, told = operation
        return self.by[lane].open(address(path, told, ids), method=method, **sent(told, self.tokens[who]))

    def submit(self, who: str) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.tokens[who]}", "Idempotency-Key": "the-same"}
        return self.client.post("/v1/orders", json=examples.PLANNED_ORDER, headers=headers)


def address(path: str, operation: dict[str, Any], ids: dict[str, str]) -> str:
    """The path with its parameters filled in; fails for one that this test does not know."""
    values = dict(ids)
    for parameter in operation["parameters"]:
        if parameter["in"] == "path" and "enum" in parameter["schema"]:
            values[parameter["name"]] = parameter["schema"]["enum"][0]
    return path.format_map(values)


def sent(operation: dict[str, Any], token: str) -> dict[str, Any]:
    """What a good request of this operation carries, by its own description."""
    headers = {
        each["name"]: each["example"]
        for each in operation["parameters"]
        if each["in"] == "header" and each.get("required")
    }
    asked: dict[str, Any] = {"headers": {"Authorization": f"Bearer {token}", **headers}}
    if "requestBody" in operation:
        media = operation["requestBody"]["content"]["application/json"]
        asked["json"] = (
            media["example"] if "example" in media else next(iter(media["examples"].values()))["value"]
        )
    return asked


@pytest.fixture(scope="module")
def clients_of_the_api(
    shared_engine: Engine, servers_home: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Client]]:
    providers = tmp_path_factory.mktemp("declared") / "providers.json"
    payment = {"name": "benefit", "kind": "payment", "url": "http://pay.example", "bulk": True, "token": "t"}
    providers.write_text(json.dumps({"providers": [payment]}))
    url = shared_engine.url.render_as_string(hide_password=False)
    settings = Settings(home=servers_home, database_url=url, redis_url=redis_url, providers=providers)  # type: ignore[arg-type]
    bell = QuietDoorbell()
    behind = front_door.pressure(settings)
    commit = front_door.group_commit(settings, bell, behind)
    services = front_door.services(settings, commit, bell, behind)
    app = create_app(services)
    lane = HotLane(app, services, commit.submit_for, threads=2, places=10, stop_s=1)
    kept: Any = services.tracking._cache  # type: ignore[attr-defined]
    with lanes.client_of(lane, close=kept._on_loop.aclose) as hot:
        yield {"Flask": app.test_client(), "hot lane": hot}


@pytest.fixture
def door(world: World, clients_of_the_api: dict[str, Client]) -> Door:
    tokens = {}
    with world.db.begin() as connection:
        for tenant in ("acme", "stranger"):
            service.create_tenant(connection, tenant, name=tenant, order_deadline_s=900, rate_per_s=None)
            tokens[tenant] = keys.create(connection, tenant, scopes=keys.ALL_SCOPES, who="test")
        connection.execute(
            text(
                "INSERT INTO webhook_endpoints (id, tenant_id, url, types, secret) "
                "VALUES (:id, 'acme', 'https://127.0.0.1/', '{}', 'sealed')"
            ),
            {"id": WEBHOOK},
        )
    made = Door(clients_of_the_api, tokens, "", "", "")
    made.order_id = made.submit("acme").get_json()["tracking_id"]
    made.run_id = str(world.one("SELECT run_id FROM uoop_orders"))
    made.difference_id = str(
        world.one(
            "INSERT INTO differences (tenant_id, kind, provider, resource, key, order_id, ours, theirs) VALUES "
            "('acme', 'ours-not-theirs', 'kitchens', 'placements', 'k', :order, 'done', 'undone') RETURNING id",
            order=made.order_id,
        )
    )
    return made


@pytest.mark.parametrize("lane", lanes.BOTH)
@pytest.mark.parametrize("operation", WITH_ID, ids=name)
def test_a_strangers_order_is_as_one_that_never_was(door: Door, lane: str, operation: Operation) -> None:
    refused = door.ask("stranger", operation, door.ids, lane)
    never = door.ask("stranger", operation, NEVER_WAS, lane)
    owned = door.ask("acme", operation, door.ids, lane)
    refused_again = door.ask("stranger", operation, door.ids, lane)

    assert refused.status_code == 404
    assert told(refused) == told(refused_again) == told(never)
    assert owned.status_code != 404


@pytest.mark.parametrize("fields", [{}, {"Prefer": "wait=1"}, {"If-None-Match": "the owner's"}], ids=str)
@pytest.mark.parametrize("path", ["/v1/orders/{}", "/v1/orders/{}/events"])
@pytest.mark.parametrize("lane", lanes.BOTH)
def test_what_is_kept_for_its_owner_is_nobody_elses(
    door: Door, monkeypatch: pytest.MonkeyPatch, lane: str, path: str, fields: dict[str, str]
) -> None:
    monkeypatch.setattr(tracking, "KEPT_MS", 60_000)
    owner, stranger = ({"Authorization": f"Bearer {door.tokens[who]}"} for who in ("acme", "stranger"))
    order, client = f"/v1/orders/{door.order_id}", door.by[lane]
    tag = client.get(order, headers=owner).headers["ETag"]
    before = kept_and_found()
    assert client.get(order, headers=owner).status_code == 200
    assert kept_and_found() == before + 1

    asking = stranger | {name: tag if name == "If-None-Match" else value for name, value in fields.items()}
    refused = client.get(path.format(door.order_id), headers=asking)

    assert refused.status_code == 404
    assert told(refused) == told(client.get(path.format(NEVER_WAS["order_id"]), headers=asking))


def kept_and_found() -> float:
    return REGISTRY.get_sample_value("uoop_status_cache_reads_total", {"result": "hit"}) or 0.0


def told(answer: TestResponse) -> tuple[dict[str, str], dict[str, Any]]:
    """
    Header fields and problem without what differs from request to request: what is left of the rate, and what
    repeats the address.
    """
    problem = json.loads(answer.text)
    fields = {key.lower(): value for key, value in answer.headers}
    return (
        {key: value for key, value in fields.items() if key not in ("ratelimit", "content-length")},
        {key: value for key, value in problem.items() if key not in ("instance", "trace_id")},
    )


@pytest.mark.parametrize("operation", LISTS, ids=name)
def test_no_list_holds_a_strangers_order(door: Door, world: World, operation: Operation) -> None:
    with world.db.begin() as connection:
        connection.execute(text("UPDATE runs SET state = 'p'"))
    parked_report(door, world)

    mine, others = door.ask("acme", operation, {}), door.ask("stranger", operation, {})

    assert (mine.status_code, others.status_code) == (200, 200)
    assert (door.order_id in mine.text) is (name(operation) not in TELLS_NO_ORDER)
    assert door.order_id not in others.text


def test_no_list_holds_a_strangers_webhook(door: Door) -> None:
    (operation,) = [each for each in LISTS if name(each) == "GET /v1/webhooks"]

    assert WEBHOOK in door.ask("acme", operation, {}).text
    assert door.ask("stranger", operation, {}).get_json() == {"webhooks": []}


def parked_report(door: Door, world: World) -> int:
    return int(
        world.one(
            "INSERT INTO delivery_reports (reporter, by, event_id, order_id, what, at, state, reason) "
            "VALUES ('swift', 'swift', 'e', :order, 'DELIVERED', now(), 'p', 'wrong-partner') RETURNING id",
            order=door.order_id,
        )
    )


def test_no_report_of_a_strangers_order_is_settled(door: Door, world: World) -> None:
    report = parked_report(door, world)
    asked = {"report_ids": [str(report)], "act": "dismiss", "reason": "try it"}

    answer = door.client.post(
        "/v1/ops/reports/settle", json=asked, headers={"Authorization": f"Bearer {door.tokens['stranger']}"}
    )

    assert answer.status_code == 200
    assert world.one("SELECT state FROM delivery_reports") == "p"


def test_a_strangers_capacity_is_neither_told_nor_changed(door: Door, world: World) -> None:
    usage.measure(world.db, world.ledger, default=1000, now=datetime.now(UTC))
    limit = {"kind": "kitchen", "name": "theirs", "capacity": 0, "reason": "try it"}
    headers = {who: {"Authorization": f"Bearer {token}"} for who, token in door.tokens.items()}

    set_by_a_stranger = door.client.post("/v1/ops/capacity/limits", json=limit, headers=headers["stranger"])

    assert set_by_a_stranger.status_code == 200
    mine = door.client.get("/v1/ops/capacity/limits", headers=headers["acme"]).get_json()
    assert (mine["limits"], mine["acts"]) == ([], [])
    assert world.rows("SELECT DISTINCT tenant_id FROM capacity_limits") == [("stranger",)]


def test_what_a_stranger_weighs_is_neither_told_nor_counts(door: Door) -> None:
    headers = {who: {"Authorization": f"Bearer {token}"} for who, token in door.tokens.items()}
    before = door.client.get("/v1/ops/channels", headers=headers["acme"]).get_json()
    wanted = {"weights": {"cost": 7.0}, "reason": "try it"}

    weighed = door.client.post("/v1/ops/channels/weights", json=wanted, headers=headers["stranger"])

    assert weighed.status_code == 200
    assert door.client.get("/v1/ops/channels", headers=headers["acme"]).get_json() == before
    assert (
        door.client.get("/v1/ops/channels", headers=headers["stranger"]).get_json()["weights"]["cost"] == 7.0
    )


def test_the_signed_routes_are_those_of_partners() -> None:
    assert {name(each) for each in ALL if each[2]["security"] != [{"ApiKey": []}]} == OF_PARTNERS


def test_a_partner_is_not_told_whether_there_is_such_an_order(
    world: World, door: Door, client: "redis.Redis[bytes]"
) -> None:
    caller = Caller(Reporter.PARTNER, FORMATS["uoop"], 1000, (b"k" * 32,))
    callbacks = Callbacks(world.db, QuietDoorbell(), lambda: {"swift": caller}, Limiter(client, share=1))
    at = str(int(time.time()))

    def told(order: str) -> Received:
        event = {"id": f"e-{order}", "order": order, "state": "DELIVERED", "at": "2026-11-23T09:41:12Z"}
        body = json.dumps({"events": [event]}).encode()
        return callbacks.take("swift", Signed("m", at, sign(b"k" * 32, "m", at, body), body))

    assert told(door.order_id) == told(NEVER_WAS["order_id"])


def test_what_has_no_callbacks_is_as_what_is_no_provider(
    world: World, clients_of_the_api: dict[str, Client]
) -> None:
    silent, never = (
        clients_of_the_api["Flask"].post(f"/v1/partners/{name}/callbacks", json={})
        for name in ("benefit", "never-was")
    )

    assert (silent.status_code, told(silent)) == (404, told(never))


def test_what_else_there_is_stands_below() -> None:
    assert {
        "POST /v1/orders",
        "POST /v1/orders/batch",
        "POST /v1/ops/capacity/limits",
        "POST /v1/ops/channels/weights",
        "POST /v1/ops/couriers",
        "POST /v1/ops/reports/settle",
        "POST /v1/ops/runs/bulk",
        "POST /v1/webhooks",  # it takes nothing that is anybody's
    } == OTHERS


def test_a_strangers_idempotency_key_and_external_id_are_free(door: Door) -> None:
    theirs, again = door.submit("stranger"), door.submit("acme")

    assert theirs.status_code == 202
    assert "Idempotency-Replayed" not in theirs.headers
    assert theirs.get_json()["tracking_id"] != door.order_id
    assert again.get_json()["tracking_id"] == door.order_id


def test_a_batch_and_single_orders_share_their_keys_but_not_with_a_stranger(door: Door) -> None:
    batch = {"orders": [{"idempotency_key": "the-same", "order": examples.PLANNED_ORDER}]}

    told = {
        who: door.client.post(
            "/v1/orders/batch", json=batch, headers={"Authorization": f"Bearer {door.tokens[who]}"}
        ).get_json()["results"][0]
        for who in ("acme", "stranger")
    }

    assert (told["acme"]["order"]["tracking_id"], told["acme"]["replayed"]) == (door.order_id, True)
    assert told["stranger"]["order"]["tracking_id"] != door.order_id


def test_a_courier_is_known_to_his_own_tenant_alone(door: Door) -> None:
    def couriers(who: str, *entries: dict[str, Any]) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {door.tokens[who]}"}
        path = "/v1/ops/couriers"
        if entries:
            assert door.client.post(path, json={"couriers": entries}, headers=headers).status_code == 200
        return door.client.get(path, headers=headers).get_json()["couriers"]

    mine = couriers("acme", {"id": "ali", "lat": 26.2, "lng": 50.6})
    theirs = couriers("stranger", {"id": "ali", "lat": 25.2, "lng": 55.3})

    assert [(each["id"], each["lat"]) for each in mine] == [("ali", 26.2)]
    assert [(each["id"], each["lat"]) for each in theirs] == [("ali", 25.2)]
    assert couriers("acme") == mine


def test_no_act_in_bulk_touches_a_strangers_run(door: Door, world: World) -> None:
    asked = {"act": "retry", "reason": "try it", "filter": {"tracking_id": door.order_id}}

    answer = door.client.post(
        "/v1/ops/runs/bulk", json=asked, headers={"Authorization": f"Bearer {door.tokens['stranger']}"}
    )

    assert answer.status_code == 200
    assert door.order_id not in answer.text
    assert world.one("SELECT count(*) FROM ops_acts") == 0
