"""The client asks again under one key, heeds Retry-After, waits and listens."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fake_platform import AT, ORDER_ID, TOKEN, VIEW, Platform

from app import errors
from app.orders.model import Accepted, ExternalIdTaken, InFlight, Status
from app.outbox.model import Event
from app.runs.allowed import PastPivot
from infra.client import orders as client
from infra.client.orders import NotAnswered, Orders, Refused, TookTooLong
from web.description import examples

ROOT = Path(__file__).parents[3]
PENDING = replace(VIEW, version=1, status=Status.PENDING)
DELIVERED = replace(VIEW, version=2, status=Status.DELIVERED)
LOG = [
    Event(n, n, "t1", ORDER_ID, n, kind, {}, AT)
    for n, kind in enumerate(("order.accepted", "order.confirmed"), start=1)
]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client would have slept."""
    pauses: list[float] = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    monkeypatch.setattr(client.random, "uniform", lambda low, high: 1.0)
    return pauses


@pytest.fixture
def asked(address: str, slept: list[float]) -> Orders:
    return Orders(address, TOKEN)


def test_an_order_is_submitted_under_a_key_of_its_own(asked: Orders, platform: Platform) -> None:
    first, second = asked.submit(examples.ORDER), asked.submit(examples.ORDER)

    assert first.tracking_id == ORDER_ID
    assert [new.idempotency_key for new in platform.accepted] == [first.key, second.key]
    assert first.key != second.key


@pytest.mark.parametrize(
    ("first", "pause_s"), [(errors.Unavailable(retry_after_s=7), 7.0), (InFlight(), 1.0)]
)
def test_a_submission_that_is_to_come_again_is_sent_again_under_its_key(
    asked: Orders,
    platform: Platform,
    slept: list[float],
    monkeypatch: pytest.MonkeyPatch,
    first: errors.UoopError,
    pause_s: float,
) -> None:
    def recover(pause_s: float) -> None:
        slept.append(pause_s)
        platform.outcome = Accepted(ORDER_ID, AT, True)

    platform.outcome = first
    monkeypatch.setattr(client.time, "sleep", recover)

    submitted = asked.submit(examples.ORDER, key="mine")

    assert submitted.replayed
    assert [new.idempotency_key for new in platform.accepted] == ["mine", "mine"]
    assert slept == [pause_s]


def test_patience_has_an_end(address: str, platform: Platform, slept: list[float]) -> None:
    platform.one_too_many = True

    with pytest.raises(NotAnswered, match="429"):
        Orders(address, TOKEN, patience_s=0.0).order(ORDER_ID)

    assert slept == []


def test_who_is_not_there_does_not_answer(slept: list[float]) -> None:
    with pytest.raises(NotAnswered):
        Orders("http://127.0.0.1:1", TOKEN, patience_s=0.0).order(ORDER_ID)


def test_a_refusal_is_told_with_its_problem(asked: Orders, platform: Platform) -> None:
    with pytest.raises(Refused) as refused:
        asked.submit({**examples.ORDER, "currency": "XXX?"})

    assert (refused.value.status, refused.value.problem["code"]) == (422, "invalid-order")
    assert refused.value.problem["errors"]


def test_another_conflict_is_told_at_once(asked: Orders, platform: Platform, slept: list[float]) -> None:
    platform.outcome = ExternalIdTaken(order_id=ORDER_ID)

    with pytest.raises(Refused, match="409"):
        asked.submit(examples.ORDER)

    assert slept == []


def test_a_wait_ends_when_the_order_is_as_wished(
    asked: Orders, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.view = PENDING
    monkeypatch.setattr(client.time, "sleep", lambda _: setattr(platform, "view", VIEW))

    assert asked.wait(ORDER_ID)["status"] == "CONFIRMED"


def test_a_wait_that_takes_too_long_tells_where_the_order_stands(asked: Orders, platform: Platform) -> None:
    platform.view = PENDING

    with pytest.raises(TookTooLong) as late:
        asked.wait(ORDER_ID, within_s=0.0)

    assert late.value.order["status"] == "PENDING"


def test_a_wish_to_cancel_is_sent_or_refused(asked: Orders, platform: Platform) -> None:
    asked.cancel(ORDER_ID)
    platform.desk.fails = PastPivot()

    with pytest.raises(Refused, match="409"):
        asked.cancel(ORDER_ID)


def test_events_go_on_behind_the_last_one_until_no_more_comes(
    asked: Orders, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream ends after each answer here, and the client comes again."""
    platform.view, platform.log = PENDING, LOG[:1]

    def go_on(_: float) -> None:
        platform.view, platform.log = DELIVERED, LOG

    monkeypatch.setattr(client.time, "sleep", go_on)

    assert [event.type for event in asked.events(ORDER_ID)] == ["order.accepted", "order.confirmed"]


def test_the_example_of_the_page_runs(address: str, platform: Platform, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.DOTALL)
    program = tmp_path / "shop.py"
    program.write_text(code)
    platform.log = LOG

    ran = subprocess.run(
        [sys.executable, str(program), address, TOKEN],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.stdout.splitlines()[0].split()[0], ran.stderr) == ("CONFIRMED", "")
    assert ran.stdout.splitlines()[1:] == ["1 order.accepted", "2 order.confirmed"]
