"""A client may wait for an order to change: on the hot lane without a thread, elsewhere it is answered at once."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fake_platform import ORDER_ID, TOKEN, VIEW, AllKept, Platform, hot_lane
from test_hot_lane import VARYING

from app.orders.model import Status
from app.orders.views import OrderView
from web import preferences
from web.app import create_app
from web.hot_lane import HotLane

PENDING = replace(VIEW, version=1, status=Status.PENDING, partner=None)
CONFIRMED = replace(VIEW, version=2)


@dataclass
class Asked:
    """One request of a client, who may leave before the answer."""

    sent: list[Any] = field(default_factory=list)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    _told: bool = False

    async def receive(self) -> dict[str, Any]:
        if not self._told:
            self._told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def ask(
    lane: HotLane, path: str = f"/v1/orders/{ORDER_ID}", **headers: str
) -> "tuple[Asked, asyncio.Task[None]]":
    asked = Asked()
    given = {"host": "localhost", "authorization": f"Bearer {TOKEN}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    return asked, asyncio.ensure_future(lane(scope, asked.receive, asked.send))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def answered(lane: HotLane, **headers: str) -> Asked:
    asked, task = ask(lane, **headers)
    await asyncio.wait_for(task, 10)
    return asked


def etag(platform: Platform) -> str:
    answer = (
        create_app(platform.services())
        .test_client()
        .get(f"/v1/orders/{ORDER_ID}", headers={"Authorization": f"Bearer {TOKEN}"})
    )
    return answer.headers["ETag"]


@pytest.mark.parametrize("view", [PENDING, CONFIRMED, None])
@pytest.mark.parametrize("known", [None, "*", '"1-another"', "same", "same, weak"])
def test_the_hot_lane_tells_an_order_as_flask_does(platform: Platform, view: Any, known: str | None) -> None:
    if known and known.startswith("same"):
        known = etag(platform) if known == "same" else f"W/{etag(platform)}"
    platform.view, platform.admitted = view, 0
    headers = {} if known is None else {"if_none_match": known}

    hot = asyncio.run(answered(hot_lane(platform), **headers))
    flask = (
        create_app(platform.services())
        .test_client()
        .get(
            f"/v1/orders/{ORDER_ID}",
            headers={"Authorization": f"Bearer {TOKEN}"} | ({"If-None-Match": known} if known else {}),
        )
    )

    told = {name.lower(): value for name, value in flask.headers if name.lower() not in VARYING}
    heard = {name: value for name, value in hot.headers.items() if name not in VARYING}
    for each in (told, heard):  # it grows with the order's age, which has grown meanwhile
        if "retry-after" in each:
            each["retry-after"] = "so many seconds"
    assert (hot.status, heard) == (
        flask.status_code,
        told,
    )
    without_trace = [json.loads(body or b"{}") for body in (hot.body, flask.data)]
    for document in without_trace:
        document.pop("trace_id", None)
    assert without_trace[0] == without_trace[1]
    assert platform.admitted == 2


def test_a_wait_ends_when_the_order_has_changed(platform: Platform) -> None:
    async def story() -> Asked:
        platform.view = PENDING
        asked, task = ask(hot_lane(platform), prefer="wait=60")
        await until(platform.changes.watched)
        platform.changes.tell(1)  # what the client has been told
        platform.view = CONFIRMED
        platform.changes.tell(2)
        await asyncio.wait_for(task, 10)
        return asked

    asked = asyncio.run(story())

    assert json.loads(asked.body)["status"] == "CONFIRMED"
    assert asked.headers["preference-applied"] == "wait=60"


def test_who_knows_of_a_newer_version_is_not_told_what_is_kept_of_an_older(platform: Platform) -> None:
    async def story() -> Asked:
        platform.view, platform.cache = PENDING, AllKept()
        asked, task = ask(hot_lane(platform), prefer="wait=60")
        await until(platform.changes.watched)
        await until(lambda: platform.cache.get(("t1", ORDER_ID)))
        platform.view = CONFIRMED
        platform.changes.tell(2)
        await asyncio.wait_for(task, 10)
        return asked

    asked = asyncio.run(story())

    assert json.loads(asked.body)["status"] == "CONFIRMED"


def test_who_asks_at_the_same_time_is_answered_by_one_reading(platform: Platform) -> None:
    async def story() -> list[Asked]:
        lane = hot_lane(platform)
        return await asyncio.gather(*(answered(lane) for _ in range(5)))

    told = asyncio.run(story())

    assert [asked.status for asked in told] == [200] * 5
    assert platform.read == [[("t1", ORDER_ID)]]


def test_an_order_that_cannot_be_told_spoils_no_other(platform: Platform) -> None:
    async def story() -> list[int]:
        lane = hot_lane(platform)
        tasks = [ask(lane, f"/v1/orders/{order_id}") for order_id in (ORDER_ID, "broken")]
        await asyncio.wait_for(asyncio.gather(*(task for _, task in tasks)), 10)
        return [asked.status for asked, _ in tasks]

    def order(tenant_id: str, order_id: str) -> OrderView:
        return VIEW if order_id == ORDER_ID else 1 / 0  # type: ignore[return-value]

    platform.order = order  # type: ignore[method-assign]

    assert asyncio.run(story()) == [200, 500]


def test_a_wait_that_is_over_tells_what_stands(platform: Platform) -> None:
    platform.view = PENDING

    asked = asyncio.run(answered(hot_lane(platform), prefer="wait=1"))

    assert (asked.status, json.loads(asked.body)["status"]) == (200, "PENDING")
    assert asked.headers["preference-applied"] == "wait=1"
    assert "retry-after" in asked.headers


def test_what_the_client_has_is_not_sent_again_after_the_wait(platform: Platform) -> None:
    asked = asyncio.run(answered(hot_lane(platform), prefer="wait=1", if_none_match=etag(platform)))

    assert (asked.status, asked.body) == (304, b"")


@pytest.mark.parametrize(
    ("view", "known"),
    [(CONFIRMED, None), (CONFIRMED, '"1-other"'), (replace(VIEW, status=Status.DELIVERED), "same")],
)
def test_nobody_waits_for_what_has_happened(platform: Platform, view: Any, known: str | None) -> None:
    platform.view = view
    if known == "same":
        known = etag(platform)

    asked = asyncio.run(
        answered(hot_lane(platform), prefer="wait=60", **({"if_none_match": known} if known else {}))
    )

    assert asked.status == (304 if view.status is Status.DELIVERED else 200)


def test_who_finds_no_place_is_answered_at_once(platform: Platform) -> None:
    async def story() -> Asked:
        platform.view = PENDING
        lane = hot_lane(platform)
        waiting = [ask(lane, prefer="wait=60") for _ in range(3)]
        await until(platform.changes.watched)
        asked = await answered(lane, prefer="wait=60")
        for client, _ in waiting:
            client.leave.set()
        await asyncio.wait_for(asyncio.gather(*(task for _, task in waiting)), 10)
        return asked

    asked = asyncio.run(story())

    assert asked.status == 200
    assert "preference-applied" not in asked.headers
    assert int(asked.headers["retry-after"]) >= 1


def test_a_client_that_left_leaves_its_place(platform: Platform) -> None:
    async def story() -> list[Any]:
        platform.view = PENDING
        asked, task = ask(hot_lane(platform), prefer="wait=60")
        await until(platform.changes.watched)
        asked.leave.set()
        await asyncio.wait_for(task, 10)
        return asked.sent

    assert asyncio.run(story()) == []
    assert platform.changes.watched() == []


def test_flask_alone_answers_at_once(platform: Platform, client: Any, headers: dict[str, str]) -> None:
    platform.view = PENDING

    answer = client.get(f"/v1/orders/{ORDER_ID}", headers={**headers, "Prefer": "wait=60"})

    assert answer.status_code == 200
    assert "Preference-Applied" not in answer.headers
    assert "Retry-After" in answer.headers


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=10", 10),
        ("wait = 10", 10),
        ('wait="10"', 10),
        ("Wait=10", 10),
        ("respond-async, wait=10", 10),
        ("wait=10; foo", 10),
        ("wait=100000", 60),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait", 0),
        ("await=10", 0),
        ("wait=0", 0),
    ],
)
def test_a_preference_is_read(header: str | None, seconds: int) -> None:
    assert preferences.wait_s(header) == seconds
