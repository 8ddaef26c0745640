"""An order's events as a stream: on the hot lane as they happen, by Flask those that there are."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fake_platform import AT, ORDER_ID, READ_ONLY, TOKEN, VIEW, Platform, hot_lane
from test_long_poll import Asked, ask, until

from app import errors
from app.orders.model import Status
from app.outbox.model import Event
from web import event_streams
from web.services import Principal

URL = f"/v1/orders/{ORDER_ID}/events"
PENDING = replace(VIEW, version=1, status=Status.PENDING)
DELIVERED = replace(VIEW, version=3, status=Status.DELIVERED)


def event(sequence: int, kind: str) -> Event:
    return Event(sequence, 100 + sequence, "t1", ORDER_ID, sequence, kind, {"status": "X"}, AT)


ACCEPTED, CONFIRMED = event(1, "order.accepted"), event(2, "order.confirmed")
LAST = event(3, "order.delivered")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "ENDS_AFTER_S", 0.0)


def ids(body: bytes) -> list[str]:
    return [line[4:] for line in body.decode().splitlines() if line.startswith("id: ")]


def test_events_are_told_as_they_happen_until_the_last(platform: Platform) -> None:
    async def story() -> Asked:
        platform.view, platform.log = PENDING, [ACCEPTED]
        asked, task = ask(hot_lane(platform), URL)
        await until(lambda: ids(asked.body))
        platform.log.append(CONFIRMED)
        platform.changes.tell(2)
        await until(lambda: len(ids(asked.body)) == 2)
        platform.log.append(LAST)
        platform.changes.tell(3)
        await asyncio.wait_for(task, 10)
        return asked

    asked = asyncio.run(story())

    assert asked.headers["content-type"] == "text/event-stream"
    assert ids(asked.body) == ["1", "2", "3"]
    assert asked.body.startswith(b"retry: ")
    assert b'"type":"order.confirmed","subject":"018f' in asked.body
    assert platform.changes.watched() == []


def test_a_stream_goes_on_behind_what_the_client_has(platform: Platform) -> None:
    platform.log = [ACCEPTED, CONFIRMED, LAST]

    async def story() -> Asked:
        asked, task = ask(hot_lane(platform), URL, last_event_id="1")
        await asyncio.wait_for(task, 10)
        return asked

    assert ids(asyncio.run(story()).body) == ["2", "3"]


def test_an_event_that_is_not_in_the_log_yet_is_told_later(platform: Platform) -> None:
    async def story() -> Asked:
        platform.view, platform.log = PENDING, [ACCEPTED]
        asked, task = ask(hot_lane(platform), URL)
        await until(lambda: ids(asked.body))
        platform.changes.tell(2)
        platform.log.append(LAST)
        platform.changes.tell(3)
        await asyncio.wait_for(task, 10)
        return asked

    assert ids(asyncio.run(story()).body) == ["1", "3"]


def test_who_hears_nothing_hears_a_heartbeat(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_S", 0.01)

    async def story() -> Asked:
        platform.view = PENDING
        asked, task = ask(hot_lane(platform), URL)
        await until(lambda: event_streams.HEARTBEAT in asked.body)
        asked.leave.set()
        await asyncio.wait_for(task, 10)
        return asked

    asyncio.run(story())

    assert platform.changes.watched() == []


def test_a_stream_that_finds_no_place_is_refused_for_now(platform: Platform) -> None:
    async def story() -> Asked:
        platform.view = PENDING
        lane = hot_lane(platform)
        waiting = [ask(lane, URL) for _ in range(3)]
        await until(lambda: all(client.sent for client, _ in waiting))
        asked, task = ask(lane, URL)
        await asyncio.wait_for(task, 10)
        for client, _ in waiting:
            client.leave.set()
        await asyncio.wait_for(asyncio.gather(*(each for _, each in waiting)), 10)
        return asked

    asked = asyncio.run(story())

    assert (asked.status, asked.headers["retry-after"]) == (503, "5")
    assert asked.headers["content-type"] == "application/problem+json"


def test_a_stream_whose_store_goes_away_ends(platform: Platform) -> None:
    async def story() -> Asked:
        platform.view = PENDING
        lane = hot_lane(platform)

        def away(*_: object) -> list[Event]:
            raise errors.Unavailable()

        lane._reading._events = away
        asked, task = ask(lane, URL)
        await asyncio.wait_for(task, 10)
        return asked

    asked = asyncio.run(story())

    assert (asked.status, asked.sent[-1]) == (200, {"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("last", [None, "1", "not-a-number", "99999999999"])
def test_flask_tells_the_events_so_far_and_ends(platform: Platform, client: Any, last: str | None) -> None:
    platform.view, platform.log = PENDING, [ACCEPTED, CONFIRMED]

    answer = client.get(
        URL, headers={"Authorization": f"Bearer {TOKEN}"} | ({"Last-Event-ID": last} if last else {})
    )

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert ids(answer.data) == (["2"] if last == "1" else ["1", "2"])


@pytest.mark.parametrize(
    ("view", "log", "last", "status"),
    [
        (DELIVERED, [ACCEPTED, CONFIRMED, LAST], "3", 204),
        (DELIVERED, [ACCEPTED, CONFIRMED], "2", 200),  # the last one is not in the log yet
        (DELIVERED, [], "0", 204),  # long ago
        (PENDING, [ACCEPTED], "1", 200),
    ],
)
def test_who_has_all_is_told_that_nothing_more_comes(
    platform: Platform, client: Any, view: Any, log: list[Event], last: str, status: int
) -> None:
    platform.view, platform.log = view, log

    answer = client.get(URL, headers={"Authorization": f"Bearer {TOKEN}", "Last-Event-ID": last})

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("scopes", "status"), [({"events:read"}, 200), ({"orders:read"}, 200), ({"orders:write"}, 403)]
)
def test_events_need_one_of_two_scopes(
    platform: Platform, client: Any, scopes: set[str], status: int
) -> None:
    platform.tokens[READ_ONLY] = Principal("t1", "ffffffff", frozenset(scopes))

    assert client.get(URL, headers={"Authorization": f"Bearer {READ_ONLY}"}).status_code == status


def test_a_stranger_hears_nothing(platform: Platform, client: Any) -> None:
    platform.tokens[READ_ONLY] = Principal("t2", "ffffffff", frozenset({"orders:read"}))

    assert client.get(URL, headers={"Authorization": f"Bearer {READ_ONLY}"}).status_code == 404
