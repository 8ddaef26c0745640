"""The hot lane answers as Flask alone would."""

import asyncio
import json
import time
from typing import Any

import lanes
import pytest
from fake_platform import AT, ORDER_ID, TOKEN, Platform, hot_lane

from app.orders.group_commit import Tell
from app.orders.model import Accepted, NewOrder
from web import orders
from web.app import create_app
from web.connections import Connection
from web.description import examples
from web.hot_lane import REST_S, HotLane
from web.submissions import BODY_LIMIT_BYTES

GOOD = json.dumps(examples.ORDER).encode()
PLANNED = json.dumps(examples.PLANNED_ORDER).encode()
HEADERS = {
    "host": "localhost",
    "authorization": f"Bearer {TOKEN}",
    "idempotency-key": "k-1",
    "content-type": "application/json",
}
VARYING = {"date", "content-length"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

Answer = tuple[int, dict[str, str], dict[str, Any]]


def ask(
    app: HotLane,
    body: bytes,
    *,
    method: str = "POST",
    path: str = "/v1/orders",
    query: bytes = b"",
    part: int = 1 << 30,
    **changes: str,
) -> Answer:
    """Make a request as an ASGI server does; the body comes in parts of that size."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "http_version": "1.1",
        "headers": [
            *((name.encode(), value.encode()) for name, value in headers.items()),
            (b"content-length", b"%d" % len(body)),
        ],
    }
    parts = [body[at : at + part] for at in range(0, max(len(body), 1), part)]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(app(scope, receive, send), 10))
    told = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    answer = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))
    answer.pop("trace_id", None)
    return sent[0]["status"], {name: told[name] for name in told.keys() - VARYING}, answer


def ask_flask(
    platform: Platform,
    body: bytes,
    *,
    method: str = "POST",
    path: str = "/v1/orders",
    query: bytes = b"",
    **changes: str,
) -> Answer:
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    answer = (
        create_app(platform.services())
        .test_client()
        .open(path, method=method, data=body, headers=headers, query_string=query.decode("latin-1"))
    )
    told = {name.lower(): value for name, value in answer.headers}
    document = answer.get_json(force=True)
    document.pop("trace_id", None)
    return answer.status_code, {name: told[name] for name in told.keys() - VARYING}, document


@pytest.mark.parametrize(
    ("status", "body", "changes"),
    [
        (202, GOOD, {}),
        (202, GOOD, {"content_type": "application/json; charset=utf-8"}),
        (202, GOOD.ljust(BODY_LIMIT_BYTES), {}),
        (202, PLANNED, {}),
        (202, GOOD, {"idempotency_key": '"k"'}),
        (202, GOOD, {"idempotency_key": "!" * 255}),
        (202, GOOD, {"idempotency_key": r'"a\"b"'}),
        (422, json.dumps({**examples.ORDER, "confirm_within_s": 4}).encode(), {}),
        (413, GOOD.ljust(BODY_LIMIT_BYTES + 1), {}),
        (413, GOOD.ljust(3 * BODY_LIMIT_BYTES), {}),
        (400, b"{", {}),
        (422, b"{}", {}),
        (400, GOOD, {"idempotency_key": "a b"}),
        (401, GOOD, {"authorization": "Bearer nobody"}),
        (415, GOOD, {"content_type": "text/plain"}),
        (415, GOOD, {"content_encoding": "gzip"}),
    ],
)
@pytest.mark.parametrize("part", [64 * 1024, 1 << 30])
def test_answers_are_those_of_flask_alone(
    platform: Platform, status: int, body: bytes, changes: dict[str, str], part: int
) -> None:
    answer = ask(hot_lane(platform), body, part=part, **changes)

    assert answer == ask_flask(platform, body, **changes)
    assert answer[0] == status


def test_an_order_keeps_what_it_asks_for_on_the_hot_lane(platform: Platform) -> None:
    ask(hot_lane(platform), PLANNED)

    (new,) = platform.accepted
    assert new.order.confirm_within_s == examples.PLANNED_ORDER["confirm_within_s"]


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, f"{TRACE}-01"),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00"}, f"{TRACE}-00"),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7"}, None),
        ({}, None),
    ],
)
def test_an_order_keeps_its_clients_trace_as_on_flask(
    platform: Platform, header: dict[str, str], trace: str | None
) -> None:
    answers = [ask(hot_lane(platform), GOOD, **header), ask_flask(platform, GOOD, **header)]

    assert [answer[0] for answer in answers] == [202, 202]
    assert [new.trace for new in platform.accepted] == [trace, trace]


def test_a_token_that_is_not_remembered_is_asked_about_beside_the_lane(platform: Platform) -> None:
    platform.remembers = False

    status, _, _ = ask(hot_lane(platform), GOOD)

    assert (status, [new.tenant_id for new in platform.accepted]) == (202, ["t1"])


@pytest.mark.parametrize("body", [GOOD, b"{", b"{}"])
def test_a_request_is_counted_once_whoever_answers_it(platform: Platform, body: bytes) -> None:
    ask(hot_lane(platform), body)

    assert platform.admitted == 1


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "ACCEPT_WAIT_S", 0.0)


@pytest.mark.usefixtures("_impatient")
def test_who_waits_too_long_for_a_commit_is_told_as_flask_tells_it(platform: Platform) -> None:
    services = platform.services()
    never = HotLane(create_app(services), services, lambda *_: None, threads=1, places=1, stop_s=1)

    answer = ask(never, GOOD)

    platform.outcome = TimeoutError()
    assert answer == ask_flask(platform, GOOD)
    assert (answer[0], answer[2]["code"]) == (503, "unavailable")


@pytest.mark.usefixtures("_impatient")
def test_a_commit_that_comes_too_late_for_one_is_told_to_the_others(platform: Platform) -> None:
    services, asked = platform.services(), []

    def submit_for(new: NewOrder, asker: object, tell: Tell) -> None:
        asked.append(asker)
        if len(asked) == 2:
            tell([(each, Accepted(ORDER_ID, AT, False)) for each in asked])

    lane = HotLane(create_app(services), services, submit_for, threads=1, places=1, stop_s=1)
    with lanes.client_of(lane) as client:
        answers = [client.post("/v1/orders", data=GOOD, headers=HEADERS) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [503, 202]


def test_no_rest_is_taken_while_clients_connect(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    lane, rests = hot_lane(platform), []
    monkeypatch.setattr(time, "sleep", rests.append)

    monkeypatch.setattr(Connection, "made", Connection.made + 1)
    lane._rest_a_moment()
    assert rests == []

    lane._rest_a_moment()
    assert rests == [REST_S]
