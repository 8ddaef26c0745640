"""The operators' route to give money back."""

from dataclasses import replace
from decimal import Decimal

import pytest
from fake_desk import REFUNDING
from fake_platform import OPERATOR, ORDER_ID, TOKEN

from app.orders.model import OrderNotFound
from app.runs.follow_ups import RunUnderWay
from sagas import wishes
from sagas.wishes import RefundWish
from web.description import run_examples as examples
from web.problem_kinds import KINDS

URL = f"/v1/ops/orders/{ORDER_ID}/refund"
HEADERS = {"Authorization": f"Bearer {OPERATOR}", "Idempotency-Key": "k"}


@pytest.mark.parametrize(
    ("given", "amount"), [(examples.REFUND, Decimal("1.500")), ({"reason": "cold"}, None)]
)
def test_a_refund_is_handed_on_with_who_and_why(client, platform, given, amount):
    answer = client.post(URL, headers=HEADERS, json=given)

    who = "eeeeeeee/fatima" if "operator" in given else "eeeeeeee"
    wish = RefundWish(amount=amount, key="k", who=who, why=given["reason"])
    assert platform.desk.asked == [("t1", ORDER_ID, wish)]
    assert (answer.status_code, answer.json) == (202, examples.REFUNDING)
    assert answer.headers["Location"] == f"/v1/ops/runs/{examples.RUN_ID}"


def test_a_repetition_says_so(client, platform, monkeypatch):
    monkeypatch.setattr(platform.desk, "refund", lambda *_: replace(REFUNDING, replayed=True))

    answer = client.post(URL, headers=HEADERS, json=examples.REFUND)

    assert answer.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    "refusal",
    [
        OrderNotFound,
        RunUnderWay,
        wishes.NotCaptured,
        wishes.RefundExceeds,
        wishes.InvalidAmount,
        wishes.KeyReused,
    ],
    ids=lambda refusal: refusal.code,
)
def test_the_desks_refusal_is_told_by_its_own_kind(client, platform, refusal):
    platform.desk.fails = refusal(detail="why", retry_after_s=1)

    answer = client.post(URL, headers=HEADERS, json=examples.REFUND)

    assert (answer.status_code, answer.json["code"]) == (KINDS[refusal.code].status, refusal.code)
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"Idempotency-Key": None}, examples.REFUND, "idempotency-key-missing"),
        ({"Authorization": f"Bearer {TOKEN}"}, examples.REFUND, "missing-scope"),
        ({}, {"amount": "1.500"}, "invalid-act"),
        ({}, {**examples.REFUND, "amount": "-1"}, "invalid-act"),
        ({}, {**examples.REFUND, "amount": 1.5}, "invalid-act"),
        ({}, {**examples.REFUND, "currency": "USD"}, "invalid-act"),
    ],
)
def test_what_is_not_a_refund_is_refused(client, platform, headers, body, code):
    sent = {name: value for name, value in {**HEADERS, **headers}.items() if value is not None}

    answer = client.post(URL, headers=sent, json=body)

    assert answer.json["code"] == code
    assert platform.desk.asked == []
