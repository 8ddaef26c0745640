"""A provider's own list, over HTTP: from the sandbox, and from peers that are not as well-behaved."""

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from peers import answering, peer
from sandbox_process import SandboxProcess, wanted

from app.providers.port import Listed, Listing, Provider, Verdict

TIMEOUT_S = 30
HOUR = timedelta(hours=1)


def listing(
    provider: Provider,
    resource: str = "dispatches",
    *,
    cursor: str | None = None,
    limit: int = 1000,
    **span: Any,
) -> Listing:
    now = datetime.now(UTC)
    asked = {"since": now - HOUR, "until": now + HOUR, **span}
    return provider.listing(resource, **asked, cursor=cursor, limit=limit, timeout_s=TIMEOUT_S)


def all_of(provider: Provider, resource: str, *, limit: int = 1000, **span: Any) -> list[Listed]:
    found, cursor = list[Listed](), None
    while True:
        part = listing(provider, resource, cursor=cursor, limit=limit, **span)
        assert (part.verdict, part.reason) == (Verdict.DONE, None)
        found += part.items
        if part.next is None:
            return found
        cursor = part.next


@pytest.mark.parametrize("provider", ["benefit", "tab"])
def test_effects_are_listed_with_their_money(sandbox: SandboxProcess, provider: str) -> None:
    side = sandbox.providers[provider]
    (authorized,) = side.do("authorizations", [wanted("o1:auth:1")], timeout_s=TIMEOUT_S)

    (item,) = all_of(side, "authorizations")

    assert (item.key, item.standing, item.reference) == ("o1:auth:1", True, authorized.reference)
    assert (item.amount, item.currency) == (Decimal("2.500"), "BHD")
    assert abs(item.at - datetime.now(UTC)) < HOUR
    assert all_of(side, "captures") == []


def test_what_was_undone_is_listed_once_as_such(sandbox: SandboxProcess) -> None:
    side = sandbox.providers["swift"]
    side.do("dispatches", [wanted(f"o{n}:step:1") for n in range(3)], timeout_s=TIMEOUT_S)
    side.undo("dispatches", ["o1:step:1", "never:step:1"], timeout_s=TIMEOUT_S)

    found = all_of(side, "dispatches")

    assert [(item.key, item.standing) for item in found] == [
        ("o0:step:1", True),
        ("o2:step:1", True),
        ("o1:step:1", False),
        ("never:step:1", False),
    ]


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_parts_make_the_whole(sandbox: SandboxProcess, limit: int) -> None:
    for name in ("swift", "dhow"):
        requests = [wanted(f"{name}-{n}:step:1") for n in range(7)]
        sandbox.providers[name].do("dispatches", requests, timeout_s=TIMEOUT_S)

    found = all_of(sandbox.providers["swift"], "dispatches", limit=limit)

    assert [item.key for item in found] == [f"swift-{n}:step:1" for n in range(7)]


def test_only_what_changed_in_the_span_is_listed(sandbox: SandboxProcess) -> None:
    side = sandbox.providers["swift"]
    for n in range(4):
        side.do("dispatches", [wanted(f"o{n}:step:1")], timeout_s=TIMEOUT_S)
    times = [item.at for item in all_of(side, "dispatches")]

    found = all_of(side, "dispatches", since=times[1], until=times[3])

    assert [item.key for item in found] == ["o1:step:1", "o2:step:1"]


def test_a_list_needs_the_providers_token(sandbox: SandboxProcess) -> None:
    path = "/swift/dispatches?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z"

    assert sandbox.ask("GET", path, token="token-of-dhow")[0] == 401
    assert sandbox.ask("GET", path, token="token-of-swift")[0] == 200
    assert sandbox.ask("PUT", path, {}, token="token-of-swift")[0] == 405


@pytest.mark.parametrize("wrong", [{"since": "yesterday"}, {"since": ""}, {"limit": "0"}, {"cursor": "-1"}])
def test_a_wrong_question_is_refused(sandbox: SandboxProcess, wrong: dict[str, str]) -> None:
    asked = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", **wrong}

    assert sandbox.ask("GET", f"/swift/dispatches?{urlencode(asked)}", token="token-of-swift")[0] == 400


@pytest.mark.parametrize("behavior", ["fail", "garbage", "down"])
def test_a_list_that_cannot_be_read_is_asked_for_again(sandbox: SandboxProcess, behavior: str) -> None:
    sandbox.tell("swift", behavior)

    assert listing(sandbox.providers["swift"]).verdict is Verdict.UNAVAILABLE


ITEM = {"key": "o1:step:1", "status": "done", "at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    "page",
    [
        b"[]",
        b"{}",
        b"\xff",
        json.dumps({"items": [{**ITEM, "status": "maybe"}]}).encode(),
        json.dumps({"items": [{**ITEM, "at": "2026-01-01T00:00:00"}]}).encode(),
        json.dumps({"items": [{**ITEM, "key": "a\x00b"}]}).encode(),
        json.dumps({"items": [{**ITEM, "amount": "NaN"}]}).encode(),
        json.dumps({"items": [{**ITEM, "amount": "1e9"}]}).encode(),
        json.dumps({"items": [ITEM], "next": "here"}).encode(),
        b"x" * (9 * 1024 * 1024),
    ],
)
def test_a_part_is_read_whole_or_not_at_all(page: bytes) -> None:
    with peer(answering(page)) as provider:
        assert listing(provider, cursor="here").verdict is Verdict.UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (404, Verdict.REFUSED),
        (405, Verdict.REFUSED),
        (501, Verdict.REFUSED),
        (400, Verdict.UNAVAILABLE),
        (401, Verdict.UNAVAILABLE),
        (429, Verdict.UNAVAILABLE),
        (500, Verdict.UNAVAILABLE),
    ],
)
def test_the_status_tells_whether_there_is_a_list(status: int, verdict: Verdict) -> None:
    with peer(answering(b"{}", status=status)) as provider:
        assert listing(provider).verdict is verdict


def test_the_question_is_asked_as_documented() -> None:
    asked = list[bytes]()
    serve: Callable[[socket.socket], None] = answering(json.dumps({"items": [ITEM]}).encode(), asked)
    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    with peer(serve) as provider:
        found = listing(provider, since=since, until=until, cursor="a b", limit=7)

    assert found.items == (Listed("o1:step:1", True, since),)
    (request,) = asked
    assert request.startswith(
        b"GET /odd/dispatches?since=2026-01-01T00%3A00%3A00%2B00%3A00&until=2026-01-02T00%3A00%3A00%2B00%3A00"
        b"&limit=7&cursor=a+b HTTP/1.1\r\n"
    )
    assert b"\r\nAuthorization: Bearer hush\r\n" in request
