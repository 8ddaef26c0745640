"""The operators' routes about deliveries: what they ask of the desk, and how they tell its answers."""

import pytest
from fake_delivery_desk import RIDER
from fake_platform import OPERATOR as OPERATOR_TOKEN
from fake_platform import ORDER_ID, TOKEN

from app.deliveries.model import Fate
from app.orders.model import OrderNotFound, Status
from app.runs.follow_ups import RunUnderWay
from sagas.delivery_desk import MoveNotAllowed, NotBeforePickup
from web.description import delivery_examples as examples
from web.problems import KINDS

REPORTS = "/v1/ops/reports"
ORDER = f"/v1/ops/orders/{ORDER_ID}"
COURIERS = "/v1/ops/couriers"


@pytest.fixture
def operator() -> dict[str, str]:
    return {"Authorization": f"Bearer {OPERATOR_TOKEN}", "Content-Type": "application/json"}


def test_reports_are_listed(client, platform, operator):
    answer = client.get(f"{REPORTS}?fate=parked&tracking_id=o&limit=7", headers=operator)

    assert answer.json == examples.REPORTS
    assert platform.delivery_desk.asked == [("t1", Fate.PARKED, "o", 7)]


def test_parked_reports_are_told(client, platform, operator):
    assert client.get(f"{REPORTS}/parked", headers=operator).json == examples.PARKED


@pytest.mark.parametrize(("act", "dismiss"), [("apply", False), ("dismiss", True)])
def test_parked_reports_are_dealt_with(client, platform, operator, act, dismiss):
    answer = client.post(f"{REPORTS}/settle", headers=operator, json={**examples.SETTLE, "act": act})

    assert answer.json == examples.SETTLED
    reports = [int(each) for each in examples.SETTLE["report_ids"]]
    why = examples.SETTLE["reason"]
    assert platform.delivery_desk.asked == [("t1", reports, dismiss, "eeeeeeee/fatima", why)]


def test_an_order_is_moved_by_hand(client, platform, operator):
    answer = client.post(f"{ORDER}/reports", headers=operator, json=examples.MARK)

    assert answer.json == examples.MARKED
    why = examples.MARK["reason"]
    assert platform.delivery_desk.asked == [("t1", ORDER_ID, Status.DELIVERED, "eeeeeeee/ali", why)]


def test_an_order_is_given_to_another_partner(client, platform, operator):
    answer = client.post(f"{ORDER}/reroute", headers=operator, json={"reason": "because"})

    assert answer.json == examples.REROUTED
    assert platform.delivery_desk.asked == [("t1", ORDER_ID, "eeeeeeee", "because")]


def test_a_courier_refuses_an_order(client, platform, operator):
    answer = client.post(f"{ORDER}/refusals", headers=operator, json=examples.REFUSE)

    assert answer.json == examples.REFUSED
    why = examples.REFUSE["reason"]
    assert platform.delivery_desk.asked == [("t1", ORDER_ID, "rider-7", "eeeeeeee/ali", why)]


def test_couriers_are_made_known_and_listed(client, platform, operator):
    listed = client.get(COURIERS, headers=operator)
    told = client.post(COURIERS, headers=operator, json=examples.COURIERS)

    assert listed.json == told.json == examples.COURIERS
    assert platform.delivery_desk.asked == [("t1",), ("t1", [RIDER])]


@pytest.mark.parametrize("refusal", [OrderNotFound, MoveNotAllowed, NotBeforePickup, RunUnderWay])
def test_the_desks_refusal_is_told_by_its_own_kind(client, platform, operator, refusal):
    platform.delivery_desk.fails = refusal(detail="why")

    answer = client.post(f"{ORDER}/reroute", headers=operator, json={"reason": "because"})

    assert (answer.status_code, answer.json["code"]) == (KINDS[refusal.code].status, refusal.code)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{ORDER}/reports", {"status": "CONFIRMED", "reason": "because"}),
        (f"{ORDER}/reports", {"status": "DELIVERED"}),
        (f"{ORDER}/reroute", {}),
        (f"{ORDER}/refusals", {"reason": "because"}),
        (COURIERS, {"couriers": [{"id": "rider-7", "lat": 95.0, "lng": 50.6}]}),
        (COURIERS, {"couriers": [{"id": "rider-7", "lat": 26.2, "lng": 50.6, "has": ["A car"]}]}),
        (COURIERS, {"couriers": [{"id": "r", "lat": 26, "lng": 50, "on_from": "0001-01-01T00:00:00+14:00"}]}),
        (f"{REPORTS}/settle", {"act": "dismiss", "report_ids": [], "reason": "because"}),
        (f"{REPORTS}/settle", {"act": "dismiss", "report_ids": ["x"], "reason": "because"}),
        (f"{REPORTS}/settle", {"act": "explode", "report_ids": ["1"], "reason": "because"}),
    ],
)
def test_an_instruction_is_complete_or_refused(client, platform, operator, path, body):
    answer = client.post(path, headers=operator, json=body)

    assert (answer.status_code, answer.json["code"]) == (422, "invalid-act")
    assert platform.delivery_desk.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", REPORTS),
        ("GET", f"{REPORTS}/parked"),
        ("POST", f"{REPORTS}/settle"),
        ("POST", f"{ORDER}/reports"),
        ("POST", f"{ORDER}/reroute"),
        ("POST", f"{ORDER}/refusals"),
        ("GET", COURIERS),
        ("POST", COURIERS),
    ],
)
def test_only_operators_get_in(client, platform, method, path):
    answer = client.open(path, method=method, headers={"Authorization": f"Bearer {TOKEN}"})

    assert (answer.status_code, answer.json["code"]) == (403, "missing-scope")
    assert platform.delivery_desk.asked == []
