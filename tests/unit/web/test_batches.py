"""Orders of a batch are each answered as if they had come alone."""

from concurrent.futures import Future

import pytest
from fake_platform import AT, ORDER_ID

from app.orders.model import Accepted, ExternalIdTaken, InFlight, KeyReused
from web import batches
from web.app import create_app
from web.description import examples

URL = "/v1/orders/batch"


@pytest.fixture
def headers(headers):
    del headers["Idempotency-Key"]
    return headers


def keyed(key="k", **changes):
    return {"idempotency_key": key, "order": {**examples.ORDER, **changes}}


def told(client, headers, *orders):
    answer = client.post(URL, json={"orders": orders}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json["results"]


def test_each_order_is_accepted_with_its_own_key(client, platform, headers):
    results = told(client, headers, keyed("a"), keyed('"b"'))

    assert [new.idempotency_key for new in platform.accepted] == ["a", "b"]
    assert [result["status"] for result in results] == [202, 202]
    assert results[0]["order"]["tracking_id"] == ORDER_ID
    assert platform.admitted == 2


def test_all_orders_are_in_the_trace_of_their_batch(client, platform, headers):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    told(client, headers | {"traceparent": f"00-{trace}-00f067aa0ba902b7-00"}, keyed("a"), keyed("b"))

    assert [new.trace for new in platform.accepted] == [f"{trace}-00"] * 2


def test_a_bad_order_spoils_no_other(client, platform, headers):
    bad = [
        keyed(currency="XXX", tip=1),
        keyed(""),
        {"order": examples.ORDER},
        {"idempotency_key": "k", "order": [], "more": 1},
        7,
    ]

    results = told(client, headers, keyed("first"), *bad, keyed("last"))

    assert [new.idempotency_key for new in platform.accepted] == ["first", "last"]
    assert [result["status"] for result in results] == [202, 422, 400, 422, 422, 422, 202]
    problem = results[1]["problem"]
    assert problem["instance"] == f"{URL}#/orders/1"
    assert [fault["pointer"] for fault in problem["errors"]] == [
        "/orders/1/order/tip",
        "/orders/1/order/currency",
    ]


def test_each_order_hears_what_became_of_it(client, platform, headers, monkeypatch):
    outcomes = [
        Accepted(ORDER_ID, AT, True),
        KeyReused(),
        ExternalIdTaken(order_id=ORDER_ID),
        TimeoutError(),
        InFlight(),
    ]

    def accept(new):
        future = Future()
        outcome = outcomes[len(platform.accepted)]
        platform.accepted.append(new)
        (future.set_exception if isinstance(outcome, Exception) else future.set_result)(outcome)
        return future

    monkeypatch.setattr(platform, "accept", accept)
    results = told(web_client(platform), headers, *(keyed(f"k{n}") for n in range(5)))

    assert [result["status"] for result in results] == [202, 422, 409, 503, 409]
    assert results[0]["replayed"] is True
    assert results[4]["problem"]["code"] == "request-in-flight"
    assert results[2]["problem"]["links"] == {"order": f"/v1/orders/{ORDER_ID}"}


def web_client(platform):
    return create_app(platform.services()).test_client()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"orders":[]}', 422),
        (b"{}", 422),
        (b"[]", 422),
        (b'{"orders":[{}],"more":1}', 422),
        (b'{"orders":[' + b",".join([b"1"] * 1001) + b"]}", 422),
        (b'{"orders":[{}', 400),
        (b" " * (batches.BODY_LIMIT_BYTES + 1), 413),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(client, platform, headers, body, status):
    answer = client.post(URL, data=body, headers=headers)

    assert answer.status_code == status
    assert platform.accepted == []


def test_a_thousand_orders_fit(client, platform, headers):
    results = told(client, headers, *(keyed(f"k{n}", notes="n" * 1000) for n in range(1000)))

    assert len(results) == len(platform.accepted) == platform.admitted == 1000


def test_a_batch_is_turned_away_as_an_order_is(client, platform, headers):
    platform.wait_s = 2.0

    assert client.post(URL, data=b"{", headers=headers).status_code == 503
