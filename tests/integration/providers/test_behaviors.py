"""How each misbehavior looks through the adapter, and what the ledger says really happened."""

import subprocess
import threading
import time

import pytest
from sandbox_process import SandboxProcess, wanted

from app.providers.port import Verdict

TIMEOUT_S = 30
SOON_S = 0.3
EACH_WAY = pytest.mark.parametrize("provider", ["swift", "dhow"])  # in bulk, and one by one


@pytest.mark.parametrize(
    ("provider", "magic", "verdict", "happened"),
    [
        ("swift", "refuse", Verdict.REFUSED, False),
        ("dhow", "refuse", Verdict.REFUSED, False),
        ("swift", "fail", Verdict.UNAVAILABLE, False),
        ("dhow", "fail", Verdict.IN_DOUBT, False),
        ("swift", "slow:0.01", Verdict.DONE, True),
        ("dhow", "slow:0.01", Verdict.DONE, True),
        ("swift", "hang", Verdict.IN_DOUBT, False),
        ("dhow", "hang", Verdict.IN_DOUBT, False),
        ("swift", "late:60", Verdict.IN_DOUBT, True),
        ("dhow", "late:60", Verdict.IN_DOUBT, True),
        ("swift", "garbage", Verdict.IN_DOUBT, True),
        ("dhow", "garbage", Verdict.IN_DOUBT, True),
        ("swift", "down", Verdict.IN_DOUBT, False),
        ("dhow", "down", Verdict.IN_DOUBT, False),
    ],
)
def test_magic_in_an_order(
    sandbox: SandboxProcess, provider: str, magic: str, verdict: Verdict, happened: bool
) -> None:
    waits_for_ever = magic in ("hang", "late:60")
    request = wanted("o1:step:1", customer=f"c-1/{provider}:{magic}")

    (answer,) = sandbox.providers[provider].do(
        "dispatches", [request], timeout_s=SOON_S if waits_for_ever else TIMEOUT_S
    )

    assert answer.verdict is verdict
    assert sandbox.ops("o1:step:1") == (["do"] if happened else [])


@pytest.mark.parametrize(
    ("provider", "behavior", "verdict", "happened"),
    [
        ("swift", "refuse", Verdict.REFUSED, False),
        ("dhow", "refuse", Verdict.REFUSED, False),
        ("swift", "fail", Verdict.IN_DOUBT, False),
        ("dhow", "fail", Verdict.IN_DOUBT, False),
        ("swift", "garbage", Verdict.IN_DOUBT, True),
        ("dhow", "garbage", Verdict.IN_DOUBT, True),
        ("swift", "down", Verdict.IN_DOUBT, False),
        ("dhow", "down", Verdict.IN_DOUBT, False),
    ],
)
def test_told_at_run_time_and_told_to_stop(
    sandbox: SandboxProcess, provider: str, behavior: str, verdict: Verdict, happened: bool
) -> None:
    side = sandbox.providers[provider]
    sandbox.tell(provider, behavior)

    (answer,) = side.do("dispatches", [wanted("o1:step:1")], timeout_s=TIMEOUT_S)
    ops = sandbox.ops("o1:step:1")
    sandbox.untell(provider)
    (again,) = side.do("dispatches", [wanted("o1:step:1")], timeout_s=TIMEOUT_S)

    assert answer.verdict is verdict
    assert ops == (["do"] if happened else [])
    assert again.verdict is Verdict.DONE
    assert sandbox.ops("o1:step:1") == ["do"]


def test_a_share_of_a_bulk_is_refused(sandbox: SandboxProcess) -> None:
    sandbox.tell("swift", "refuse", share=0.25)

    answers = sandbox.providers["swift"].do(
        "dispatches", [wanted(f"o{n}:step:1") for n in range(100)], timeout_s=TIMEOUT_S
    )

    assert sum(answer.verdict is Verdict.REFUSED for answer in answers) == 25


def test_magic_in_bulk_acts_on_its_own_item(sandbox: SandboxProcess) -> None:
    magic = ["none", "all:refuse", "all:fail", "all:garbage", "all:down", "all:slow:0.01", "all:late:0.01"]

    answers = sandbox.providers["swift"].do(
        "dispatches",
        [wanted(f"o{n}:step:1", customer=f"c/{clause}") for n, clause in enumerate(magic)],
        timeout_s=TIMEOUT_S,
    )

    assert [answer.verdict for answer in answers] == [
        Verdict.DONE,
        Verdict.REFUSED,
        Verdict.UNAVAILABLE,
        Verdict.IN_DOUBT,
        Verdict.IN_DOUBT,
        Verdict.DONE,
        Verdict.DONE,
    ]
    assert {line["order"] for line in sandbox.lines()} == {"o0", "o3", "o5", "o6"}


def test_one_hanging_item_holds_back_a_bulk_answer_but_not_the_work(sandbox: SandboxProcess) -> None:
    requests = [wanted("o1:step:1"), wanted("o2:step:1", customer="c/swift:hang")]
    side = sandbox.providers["swift"]

    answers = side.do("dispatches", requests, timeout_s=SOON_S)
    found = side.find("dispatches", ["o1:step:1", "o2:step:1"], timeout_s=TIMEOUT_S)

    assert [answer.verdict for answer in answers] == [Verdict.IN_DOUBT, Verdict.IN_DOUBT]
    assert [answer.verdict for answer in found] == [Verdict.DONE, Verdict.UNKNOWN]


@EACH_WAY
def test_a_hanging_call_holds_up_no_other(sandbox: SandboxProcess, provider: str) -> None:
    side = sandbox.providers[provider]
    hanging = threading.Thread(
        target=side.do,
        args=("dispatches", [wanted("o1:step:1", customer="c/all:hang")]),
        kwargs={"timeout_s": 2 * TIMEOUT_S},
    )
    hanging.start()

    (other,) = side.do("dispatches", [wanted("o2:step:1")], timeout_s=TIMEOUT_S)

    assert hanging.is_alive()
    assert other.verdict is Verdict.DONE
    sandbox.kill()
    hanging.join()


@EACH_WAY
def test_the_deadline_is_for_the_cohort_as_a_whole(sandbox: SandboxProcess, provider: str) -> None:
    sandbox.tell(provider, "hang")
    started = time.monotonic()

    answers = sandbox.providers[provider].do(
        "dispatches", [wanted(f"o{n}:step:1") for n in range(50)], timeout_s=0.5
    )

    assert time.monotonic() - started < 10
    assert {answer.verdict for answer in answers} <= {Verdict.IN_DOUBT, Verdict.UNAVAILABLE}


@EACH_WAY
def test_slow_work_goes_on_when_nobody_waits_and_respects_the_tombstone(
    sandbox: SandboxProcess, provider: str
) -> None:
    side = sandbox.providers[provider]
    slow = wanted("o1:step:1", customer="c/all:slow:0.6")
    (in_doubt,) = side.do("dispatches", [slow], timeout_s=0.1)
    (undone,) = side.undo("dispatches", ["o1:step:1"], timeout_s=TIMEOUT_S)

    # The same wait for another order ends after the first one's work was done, or refused.
    side.do("dispatches", [wanted("o2:step:1", customer="c/all:slow:0.6")], timeout_s=TIMEOUT_S)

    assert [in_doubt.verdict, undone.verdict] == [Verdict.IN_DOUBT, Verdict.UNDONE]
    assert sandbox.ops("o1:step:1") == ["tombstone"]


@EACH_WAY
def test_slow_work_is_done_though_nobody_waits(sandbox: SandboxProcess, provider: str, eventually) -> None:
    slow = wanted("o1:step:1", customer="c/all:slow:0.3")

    (answer,) = sandbox.providers[provider].do("dispatches", [slow], timeout_s=0.1)

    assert answer.verdict is Verdict.IN_DOUBT
    assert eventually(lambda: sandbox.ops("o1:step:1")) == ["do"]


@EACH_WAY
def test_once_misbehaves_once(sandbox: SandboxProcess, provider: str) -> None:
    request = wanted("o1:step:1", customer="c/delivery:refuse@once")

    verdicts = [
        sandbox.providers[provider].do("dispatches", [request], timeout_s=TIMEOUT_S)[0].verdict
        for _ in range(3)
    ]

    assert verdicts == [Verdict.REFUSED, Verdict.DONE, Verdict.DONE]


def test_health_follows_what_was_told(sandbox: SandboxProcess) -> None:
    sandbox.tell("swift", "down")

    assert sandbox.ask("GET", "/swift/_health", token="")[0] == 503
    assert sandbox.ask("GET", "/dhow/_health", token="")[0] == 200


def test_a_second_sandbox_on_the_same_home_says_one_line(sandbox: SandboxProcess) -> None:
    second = subprocess.run(sandbox.command(), capture_output=True, text=True, timeout=60, check=False)

    assert second.returncode == 2
    assert second.stderr.startswith("sandbox: ")
    assert second.stderr.count("\n") == 1


def test_it_ends_when_asked(sandbox: SandboxProcess) -> None:
    assert sandbox.process is not None
    sandbox.process.terminate()

    assert sandbox.reap() == 0

    sandbox.start()


@pytest.mark.parametrize(
    "told",
    [{"to": "http://127.0.0.1:1"}, {}, {"to": "ftp://there:21"}],
    ids=["without callbacks", "to nobody", "to where nobody is told"],
)
def test_deliver_needs_callbacks_and_an_address(sandbox: SandboxProcess, told: dict[str, str]) -> None:
    status, _ = sandbox.ask("PUT", "/_control/swift", {"behavior": "deliver", **told})

    assert status == 400
