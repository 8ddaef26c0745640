"""Every provider's every resource keeps the laws over HTTP, in bulk and one by one."""

import time

import pytest
from sandbox_process import LINE_FIELDS, SandboxProcess, wanted

from app.providers.port import Verdict

TIMEOUT_S = 30
EVERY_PLACE = pytest.mark.parametrize(
    ("provider", "resource"),
    [
        ("benefit", "authorizations"),
        ("benefit", "captures"),
        ("benefit", "refunds"),
        ("tab", "authorizations"),
        ("tab", "captures"),
        ("tab", "refunds"),
        ("kitchens", "placements"),
        ("swift", "dispatches"),
        ("dhow", "dispatches"),
    ],
)


def _authorize(sandbox: SandboxProcess, provider: str, *orders: str) -> None:
    if sandbox.providers[provider].kind == "payment":
        for resource, key in (("authorizations", "auth"), ("captures", "capture")):
            requests = [wanted(f"{order}:{key}:1") for order in orders]
            sandbox.providers[provider].do(resource, requests, timeout_s=TIMEOUT_S)


@EVERY_PLACE
def test_twice_is_once(sandbox: SandboxProcess, provider: str, resource: str) -> None:
    _authorize(sandbox, provider, "o1")
    side = sandbox.providers[provider]

    first, second = (side.do(resource, [wanted("o1:step:1")], timeout_s=TIMEOUT_S) for _ in range(2))

    assert first[0].verdict is Verdict.DONE
    assert first == second
    assert sandbox.ops("o1:step:1") == ["do"]


@EVERY_PLACE
def test_undo_without_do_leaves_a_tombstone(sandbox: SandboxProcess, provider: str, resource: str) -> None:
    _authorize(sandbox, provider, "o1")
    side = sandbox.providers[provider]

    undone = [side.undo(resource, ["o1:step:1"], timeout_s=TIMEOUT_S)[0].verdict for _ in range(2)]
    (late,) = side.do(resource, [wanted("o1:step:1")], timeout_s=TIMEOUT_S)

    assert undone == [Verdict.UNDONE, Verdict.UNDONE]
    assert (late.verdict, late.reason) == (Verdict.REFUSED, "undone")
    assert sandbox.ops("o1:step:1") == ["tombstone"]


@pytest.mark.parametrize("provider", ["swift", "dhow"])
def test_magic_keeps_an_order_and_no_other(sandbox: SandboxProcess, provider: str) -> None:
    side = sandbox.providers[provider]
    kept, other = wanted("o1:step:1", customer="c-1/delivery:keep"), wanted("o2:step:1")
    side.do("dispatches", [kept, other], timeout_s=TIMEOUT_S)

    undone = side.undo("dispatches", ["o1:step:1", "o2:step:1"], timeout_s=TIMEOUT_S)

    assert [(answer.verdict, answer.reason) for answer in undone] == [
        (Verdict.REFUSED, "kept"),
        (Verdict.UNDONE, None),
    ]
    assert sandbox.ops("o1:step:1") == ["do"]


@pytest.mark.parametrize("lose_answer", [False, True])
@EVERY_PLACE
def test_undo_undoes_do(sandbox: SandboxProcess, provider: str, resource: str, lose_answer: bool) -> None:
    _authorize(sandbox, provider, "o1")
    side = sandbox.providers[provider]
    customer = f"c-1/{resource}:garbage" if lose_answer else "c-1"
    (done,) = side.do(resource, [wanted("o1:step:1", customer=customer)], timeout_s=TIMEOUT_S)
    (found,) = side.find(resource, ["o1:step:1"], timeout_s=TIMEOUT_S)

    (undone,) = side.undo(resource, ["o1:step:1"], timeout_s=TIMEOUT_S)
    (gone,) = side.find(resource, ["o1:step:1"], timeout_s=TIMEOUT_S)

    assert done.verdict is (Verdict.IN_DOUBT if lose_answer else Verdict.DONE)
    assert [found.verdict, undone.verdict, gone.verdict] == [Verdict.DONE, Verdict.UNDONE, Verdict.UNDONE]
    assert sandbox.ops("o1:step:1") == ["do", "undo"]


@EVERY_PLACE
def test_a_cohort_is_answered_in_its_order(sandbox: SandboxProcess, provider: str, resource: str) -> None:
    orders = [f"o{n}" for n in range(30)]
    keys = [f"{order}:step:1" for order in orders]
    _authorize(sandbox, provider, *orders)
    side = sandbox.providers[provider]

    done = side.do(resource, [wanted(key) for key in keys], timeout_s=TIMEOUT_S)
    found = side.find(resource, [*reversed(keys), "nobody:step:1"], timeout_s=TIMEOUT_S)

    assert [(answer.key, answer.verdict) for answer in done] == [(key, Verdict.DONE) for key in keys]
    assert [answer.key for answer in found] == [*reversed(keys), "nobody:step:1"]
    assert [answer.reference for answer in found[:-1]] == [answer.reference for answer in reversed(done)]
    assert found[-1].verdict is Verdict.UNKNOWN


def test_a_cohort_larger_than_a_request_is_done_whole(sandbox: SandboxProcess) -> None:
    keys = [f"o{n}:step:1" for n in range(1_234)]

    answers = sandbox.providers["swift"].do("dispatches", [wanted(key) for key in keys], timeout_s=TIMEOUT_S)

    assert [(answer.key, answer.verdict) for answer in answers] == [(key, Verdict.DONE) for key in keys]
    assert sorted(str(line["key"]) for line in sandbox.lines()) == sorted(keys)


@EVERY_PLACE
def test_what_comes_too_late_is_refused(sandbox: SandboxProcess, provider: str, resource: str) -> None:
    _authorize(sandbox, provider, "o1")

    (answer,) = sandbox.providers[provider].do(
        resource, [wanted("o1:step:1", not_after_s=-1)], timeout_s=TIMEOUT_S
    )

    assert (answer.verdict, answer.reason) == (Verdict.REFUSED, "too-late")
    assert sandbox.ops("o1:step:1") == []


@pytest.mark.parametrize("provider", ["benefit", "tab"])
def test_a_captured_authorization_is_not_voided(sandbox: SandboxProcess, provider: str) -> None:
    _authorize(sandbox, provider, "o1")
    side = sandbox.providers[provider]
    side.do("captures", [wanted("o1:capture:1")], timeout_s=TIMEOUT_S)

    (answer,) = side.undo("authorizations", ["o1:auth:1"], timeout_s=TIMEOUT_S)

    assert (answer.verdict, answer.reason) == (Verdict.REFUSED, "captured")


def test_kill_and_restart_keep_every_effect(sandbox: SandboxProcess) -> None:
    side, keys = sandbox.providers["swift"], [f"o{n}:step:1" for n in range(50)]
    done = side.do("dispatches", [wanted(key) for key in keys], timeout_s=TIMEOUT_S)
    side.undo("dispatches", [keys[0], "nobody:step:1"], timeout_s=TIMEOUT_S)
    before = sandbox.lines()

    sandbox.kill()
    (unreachable,) = side.find("dispatches", keys[:1], timeout_s=TIMEOUT_S)
    sandbox.start()
    again = side.do("dispatches", [wanted(key) for key in keys], timeout_s=TIMEOUT_S)

    assert unreachable.verdict is Verdict.UNAVAILABLE
    assert again[1:] == done[1:]
    assert again[0].reason == "undone"
    assert sandbox.lines() == before
    assert [line["op"] for line in before] == ["do"] * 50 + ["undo", "tombstone"]


def test_the_ledger_is_read_in_pages_and_as_table(sandbox: SandboxProcess) -> None:
    keys = [f"o{n}:auth:1" for n in range(5)]
    sandbox.providers["benefit"].do("authorizations", [wanted(key) for key in keys], timeout_s=TIMEOUT_S)

    lines = sandbox.lines("?since=1&limit=2")
    _, table = sandbox.ask("GET", "/_ledger?since=1&limit=2", accept="text/tab-separated-values")
    _, summary = sandbox.ask("GET", "/_ledger/summary")

    assert [tuple(line) for line in lines] == [LINE_FIELDS] * 2
    assert [line["seq"] for line in lines] == [2, 3]
    assert lines[0]["amount"] == "2.500"
    assert [row.split("\t") for row in table.decode().splitlines()] == [
        [str(value) for value in line.values()] for line in lines
    ]
    assert b'"op":"do","currency":"BHD","lines":5,"amount":"12.5000"' in summary


@pytest.mark.parametrize(
    ("method", "path", "body", "token", "status"),
    [
        ("GET", "/_ledger", None, "guess", 401),
        ("PUT", "/_control/swift", {"behavior": "down"}, "token-of-swift", 401),
        ("PUT", "/_control/nobody", {"behavior": "down"}, None, 404),
        ("PUT", "/_control/swift", {"behavior": "dance"}, None, 400),
        ("GET", "/_ledger?since=x", None, None, 400),
        ("GET", "/swift/dispatches/o1:step:1", None, "token-of-dhow", 401),
        ("GET", "/swift/captures/o1:step:1", None, "token-of-swift", 404),
        ("POST", "/dhow/dispatches/find", {"items": []}, "token-of-dhow", 405),
        ("POST", "/swift/dispatches/find", {"items": [{"key": "o1 x"}]}, "token-of-swift", 400),
        ("PUT", "/swift/dispatches/o1:step:1", {"order": "o1"}, "token-of-swift", 400),
        ("PUT", "/swift/dispatches/o1:step:1", [], "token-of-swift", 400),
        ("GET", "/_health", None, "", 200),
    ],
)
def test_strangers_and_nonsense_are_turned_away(
    sandbox: SandboxProcess, method: str, path: str, body: object, token: str | None, status: int
) -> None:
    assert sandbox.ask(method, path, body, token=token)[0] == status


def test_the_token_is_for_its_owner_alone(sandbox: SandboxProcess) -> None:
    assert (sandbox.home / "sandbox-token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("provider", ["swift", "dhow"])
def test_a_stale_provider_acts_when_nobody_listens_unless_it_was_undone(
    sandbox: SandboxProcess, provider: str
) -> None:
    side = sandbox.providers[provider]
    sandbox.tell(provider, "stale", seconds=0.5)

    asked = side.do("dispatches", [wanted("o1:step:1")], timeout_s=0.2)
    asked += side.do("dispatches", [wanted("o2:step:1")], timeout_s=0.1)
    side.undo("dispatches", ["o2:step:1"], timeout_s=TIMEOUT_S)

    assert {answer.verdict for answer in asked} == {Verdict.IN_DOUBT}
    assert sandbox.ops("o1:step:1") == []
    until = time.monotonic() + TIMEOUT_S
    while not sandbox.ops("o1:step:1") and time.monotonic() < until:
        time.sleep(0.02)
    side.find("dispatches", ["o1:step:1"], timeout_s=TIMEOUT_S)
    assert sandbox.ops("o1:step:1") == ["do"]
    assert sandbox.ops("o2:step:1") == ["tombstone"]


@pytest.mark.parametrize("provider", ["swift", "dhow"])
def test_a_mute_provider_answers_all_but_an_undoing(sandbox: SandboxProcess, provider: str) -> None:
    side = sandbox.providers[provider]
    sandbox.tell(provider, "mute")

    (done,) = side.do("dispatches", [wanted("o1:step:1")], timeout_s=TIMEOUT_S)
    (undone,) = side.undo("dispatches", ["o1:step:1"], timeout_s=0.1)
    (found,) = side.find("dispatches", ["o1:step:1"], timeout_s=TIMEOUT_S)

    assert [done.verdict, undone.verdict, found.verdict] == [Verdict.DONE, Verdict.IN_DOUBT, Verdict.DONE]
