"""
Whatever is asked of whatever route, on either lane, the answer is one that the description tells of.

UOOP_FUZZ_EXAMPLES is how many requests each operation gets; with it they are others each time.
"""

import asyncio
import base64
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from described import Operation, description, name, operations
from drawn_requests import Drawer, Drawn
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from world import QuietDoorbell, World

from app.callbacks import signature
from app.tenants import keys
from app.webhooks import address
from infra import front_door
from infra.settings import Settings
from web import observation, problems
from web.app import create_app
from web.description import examples
from web.description import webhooks as described_webhooks
from web.hot_lane import HotLane

EXAMPLES = int(os.environ.get("UOOP_FUZZ_EXAMPLES", "0"))
PER_OPERATION = EXAMPLES or 10
DESCRIBED = description()
ALL = sorted(operations(), key=name)
TAGS = sorted({each[2]["tags"][0] for each in ALL})
SECRET = signature.PREFIX + base64.b64encode(b"p" * 32).decode()
FORMAT_OF = {"swift": "uoop", "dhow": "courier-status", "kitchens": "kitchen-codes"}
PROVIDERS = {
    "providers": [
        {
            "name": partner,
            "kind": "restaurant" if partner == "kitchens" else "delivery",
            "url": f"http://{partner}.example",
            "bulk": True,
            "token": "t",
            "callbacks": {"format": form, "secrets": [SECRET]},
        }
        for partner, form in FORMAT_OF.items()
    ]
}
TOLD_OF_ALL = {name.lower() for name, _ in observation.SECURITY_HEADERS} | {
    "content-type",
    "content-length",
    "connection",
}
LEAVES_AFTER_S = 0.05
fuzzed = settings(
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    phases=[Phase.generate],  # all that is found is told at once
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Doors:
    """Both lanes before a real database."""

    client: FlaskClient
    lane: HotLane
    loop: asyncio.AbstractEventLoop

    def flask(self, asked: Drawn) -> Answer:
        answer = self.client.open(
            asked.target,
            method=asked.method,
            query_string=asked.query,
            headers=[*asked.headers],
            data=asked.body,
        )
        return Answer(
            answer.status_code, {key.lower(): value for key, value in answer.headers.items()}, answer.data
        )

    def hot(self, asked: Drawn) -> Answer | None:
        """None if the client left before the answer."""
        return self.loop.run_until_complete(self._ask(asked))

    async def _ask(self, asked: Drawn) -> Answer | None:
        sent: list[dict[str, Any]] = []
        begun, given = asyncio.Event(), [asked.body]

        async def receive() -> dict[str, Any]:
            if given:
                return {"type": "http.request", "body": given.pop(), "more_body": False}
            with suppress(TimeoutError):
                await asyncio.wait_for(begun.wait(), LEAVES_AFTER_S)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            begun.set()

        await asyncio.wait_for(self.lane(_scope(asked), receive, send), 20)
        if not sent:
            return None
        headers = {key.decode().lower(): value.decode("latin-1") for key, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, b"".join(part.get("body", b"") for part in sent[1:]))


def _scope(asked: Drawn) -> dict[str, Any]:
    given = (("Host", "localhost"), *asked.headers)
    headers = [(key.lower().encode(), value.encode("latin-1")) for key, value in given]
    return {
        "type": "http",
        "method": asked.method,
        "scheme": "http",
        "http_version": "1.1",
        "path": unquote(asked.target, errors="replace"),
        "raw_path": asked.target.encode(),
        "query_string": asked.query.encode(),
        "headers": [*headers, (b"content-length", b"%d" % len(asked.body))],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50_000),
    }


@pytest.fixture(scope="module")
def _nobody_is_asked() -> Iterator[None]:
    """Names are not looked up: those of example domains lead to a port where nobody listens."""
    before = address.resolve

    async def resolve(target: address.Target) -> str:
        if not target.host.endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return "127.0.0.1"

    address.resolve = resolve
    yield
    address.resolve = before


@pytest.fixture(scope="module")
def app_and_doors(
    shared_engine: Any,
    servers_home: Path,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    _nobody_is_asked: None,
) -> Iterator[Doors]:
    providers = tmp_path_factory.mktemp("declared") / "providers.json"
    providers.write_text(json.dumps(PROVIDERS))
    chosen = Settings(
        home=servers_home,
        database_url=shared_engine.url.render_as_string(hide_password=False),
        redis_url=redis_url,
        providers=providers,
        shed_above_ms=3_600_000,
    )  # type: ignore[arg-type]
    bell = QuietDoorbell()
    behind = front_door.pressure(chosen)
    commit = front_door.group_commit(chosen, bell, behind)
    services = front_door.services(chosen, commit, bell, behind)
    app: Flask = create_app(services)
    loop = asyncio.new_event_loop()
    lane = HotLane(app, services, commit.submit_for, threads=2, places=10, stop_s=1)
    yield Doors(app.test_client(), lane, loop)
    loop.run_until_complete(services.tracking._cache._on_loop.aclose())  # type: ignore[attr-defined]
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.fixture
def doors(world: World, app_and_doors: Doors) -> Doors:
    return app_and_doors


@pytest.fixture
def drawer(world: World, doors: Doors) -> Drawer:
    """Draws for a platform in which there is one of each thing."""
    with world.db.begin() as connection:
        everything = keys.create(connection, "default", scopes=keys.ALL_SCOPES, who="test")
        reading = keys.create(connection, "default", scopes=["orders:read"], who="test")
    headers = {"Authorization": f"Bearer {everything}", "Idempotency-Key": "the-first"}
    order = doors.client.post("/v1/orders", json=examples.PLANNED_ORDER, headers=headers).get_json()
    webhook = doors.client.post("/v1/webhooks", json=described_webhooks.NEW, headers=headers).get_json()
    difference = world.one(
        "INSERT INTO differences (tenant_id, kind, provider, resource, key, order_id, ours, theirs) VALUES "
        "('default', 'ours-not-theirs', 'kitchens', 'placements', 'k', :order, 'done', 'undone') RETURNING id",
        order=order["tracking_id"],
    )
    run = world.one("SELECT run_id FROM uoop_orders")
    ids = {
        "order_id": [order["tracking_id"]],
        "run_id": [str(run), order["tracking_id"]],
        "webhook_id": [webhook["id"]],
        "difference_id": [str(difference)],
        "partner": [*FORMAT_OF],
    }
    return Drawer(DESCRIBED, [everything, reading, "uoop_0a1b2c3d_" + "0" * 32, "a.b.c"], ids)


@pytest.mark.parametrize("tag", TAGS)
def test_every_answer_is_documented(doors: Doors, drawer: Drawer, tag: str) -> None:
    mine = [each for each in ALL if each[2]["tags"] == [tag]]
    found: dict[tuple[str, str, str], tuple[Drawn, Answer]] = {}

    @settings(fuzzed, max_examples=PER_OPERATION * len(mine))
    @given(st.sampled_from(mine), st.data())
    def ask(operation: Operation, data: st.DataObject) -> None:
        asked = _signed(drawer.request(data.draw, operation), operation)
        for lane in (doors.flask, doors.hot):
            answer = lane(asked)
            wrong = undocumented(operation, answer) if answer else None
            if answer and wrong:
                found.setdefault((name(operation), lane.__name__, wrong), (asked, answer))
            if answer and answer.status == 201:
                drawer.ids["webhook_id"].append(json.loads(answer.body)["id"])

    ask()

    assert found == {}


def test_whatever_is_asked_of_whatever_address_is_answered(doors: Doors, drawer: Drawer) -> None:
    found: list[tuple[Drawn, Answer | None]] = []

    @settings(fuzzed, max_examples=PER_OPERATION * 10)
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        asked = drawer.anything(data.draw)
        answers = (doors.flask(asked), doors.hot(asked))
        found.extend((asked, answer) for answer in answers if not _is_told(asked, answer))

    ask()

    assert found == []


def _is_told(asked: Drawn, answer: Answer | None) -> bool:
    """It is no failure, and an error has its document."""
    if answer is None or answer.status >= 500:
        return False
    is_error = answer.status >= 400 and asked.method != "HEAD"
    return not is_error or answer.headers["content-type"] == problems.MEDIA_TYPE


def _signed(asked: Drawn, operation: Operation) -> Drawn:
    """A partner's message as he would send it, its body whatever it is; others as they are."""
    if operation[2]["security"] != [{"PartnerSignature": []}] or any(
        key == "webhook-signature" for key, _ in asked.headers
    ):
        return asked
    now = str(int(time.time()))
    signed = signature.sign(b"p" * 32, "m", now, asked.body)
    fields = (("webhook-id", "m"), ("webhook-timestamp", now), ("webhook-signature", signed))
    kept = tuple(each for each in asked.headers if not each[0].startswith("webhook-"))
    return Drawn(asked.method, asked.target, asked.query, (*kept, *fields), asked.body)


def undocumented(operation: Operation, answer: Answer) -> str | None:
    """What of the answer the description does not tell."""
    told = operation[2]["responses"].get(str(answer.status))
    if told is None or answer.status >= 500:
        return f"status {answer.status}"
    fields = answer.headers.keys() - TOLD_OF_ALL - {each.lower() for each in told["headers"]}
    if fields:
        return f"header fields {sorted(fields)}"
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    media = told.get("content", {}).get(media_type)
    if media is None:
        return f"body of {media_type}" if answer.body else None
    return _undocumented_body(operation, answer, media) if media_type.endswith("json") else None


def _undocumented_body(operation: Operation, answer: Answer, media: Mapping[str, Any]) -> str | None:
    document = json.loads(answer.body)
    validator = _validator(name(operation), str(answer.status))
    wrong = [error.message[:200] for error in validator.iter_errors(document)]
    if wrong:
        return f"body: {wrong}"
    is_problem = answer.status >= 400
    return f"code {document['code']}" if is_problem and document["code"] not in media["examples"] else None


@cache
def _validator(operation: str, status: str) -> Draft202012Validator:
    (told,) = [each[2] for each in ALL if name(each) == operation]
    (media,) = told["responses"][status]["content"].values()
    return Draft202012Validator({**media["schema"], "components": DESCRIBED["components"]})
