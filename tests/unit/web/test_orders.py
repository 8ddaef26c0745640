import base64
import json
from io import BytesIO

import pytest
from fake_platform import AT, ORDER_ID
from prometheus_client import REGISTRY

from app.orders import document
from app.orders.model import Accepted, Status
from app.orders.views import OrderFilter, Position
from app.runs.allowed import Act, PastPivot
from web.description import examples
from web.services import Principal

URL = "/v1/orders"


@pytest.fixture
def client(either_client):
    return either_client


def test_a_submission_is_accepted(client, platform, headers):
    answer = client.post(URL, json=examples.ORDER, headers=headers)

    assert answer.status_code == 202
    assert answer.json == {
        "tracking_id": ORDER_ID,
        "status": "PENDING",
        "created_at": "2026-11-23T09:15:00Z",
        "links": {"self": f"{URL}/{ORDER_ID}", "timeline": f"{URL}/{ORDER_ID}/timeline"},
    }
    assert answer.headers["Location"] == f"{URL}/{ORDER_ID}"
    assert 1 <= int(answer.headers["Retry-After"]) <= 40
    assert "Idempotency-Replayed" not in answer.headers
    (new,) = platform.accepted
    assert (new.tenant_id, new.idempotency_key) == ("t1", "k-1")
    assert new.fingerprint == document.fingerprint(new.order)
    assert new.order.total_amount == "6.900"


def test_a_replay_says_so(client, platform, headers):
    platform.outcome = Accepted(ORDER_ID, AT, True)

    answer = client.post(URL, json=examples.ORDER, headers=headers)

    assert answer.status_code == 202
    assert answer.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("k", "k"),
        ('"k"', "k"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ("!" * 255, "!" * 255),
        ('"' + "~" * 255 + '"', "~" * 255),
        (r"a\b", r"a\b"),
    ],
)
def test_a_key_is_plain_or_quoted(client, platform, headers, header, key):
    client.post(URL, json=examples.ORDER, headers={**headers, "Idempotency-Key": header})

    assert [new.idempotency_key for new in platform.accepted] == [key]


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_the_media_type_may_have_parameters(client, headers, media_type):
    answer = client.post(URL, json=examples.ORDER, headers={**headers, "Content-Type": media_type})

    assert answer.status_code == 202


BATCH = {"orders": [{"idempotency_key": "k", "order": examples.ORDER}]}


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize(
    ("path", "body", "status"), [(URL, examples.ORDER, 202), (f"{URL}/batch", BATCH, 200)]
)
def test_a_body_may_come_in_chunks(client, platform, headers, remembers, path, body, status):
    platform.remembers = remembers

    answer = client.post(
        path,
        headers={**headers, "Transfer-Encoding": "chunked"},
        input_stream=BytesIO(json.dumps(body).encode()),
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )

    assert answer.status_code == status, answer.text
    assert len(platform.accepted) == 1


def test_an_order_is_told(client, headers):
    answer = client.get(f"{URL}/{ORDER_ID}", headers=headers)

    assert answer.status_code == 200
    assert answer.json.keys() == examples.CONFIRMED.keys()
    assert answer.json["steps"][0].keys() == examples.CONFIRMED["steps"][0].keys()
    assert answer.json["links"]["self"] == f"{URL}/{ORDER_ID}"


def test_an_order_that_the_client_has_is_not_sent_again(client, platform, headers):
    tag = client.get(f"{URL}/{ORDER_ID}", headers=headers).headers["ETag"]

    again = client.get(f"{URL}/{ORDER_ID}", headers={**headers, "If-None-Match": tag})
    platform.view = type(platform.view)(
        **{name: getattr(platform.view, name) for name in platform.view.__slots__} | {"partner": "falcon"}
    )
    changed = client.get(f"{URL}/{ORDER_ID}", headers={**headers, "If-None-Match": tag})

    assert not tag.startswith("W/")
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert (changed.status_code, changed.json["partner"]) == (200, "falcon")


def test_a_list_is_asked_for_by_filters(client, platform, headers):
    answer = client.get(
        f"{URL}?status=FAILED&customer_id=c:1&restaurant_id=r&external_order_id=x"
        "&created_from=2026-11-23T09:15:00Z&created_until=2026-11-23T12:15:00%2B03:00&limit=7",
        headers=headers,
    )

    assert answer.status_code == 200
    tenant, wanted, after, limit = platform.asked
    assert (tenant, after, limit) == ("t1", None, 7)
    assert wanted == OrderFilter(
        status=Status.FAILED,
        customer_id="c:1",
        restaurant_id="r",
        external_order_id="x",
        created_from=AT,
        created_until=AT,
    )


def test_a_cursor_goes_on_where_the_page_ended(client, platform, headers):
    cursor = client.get(URL, headers=headers).json["next_cursor"]

    client.get(URL, query_string={"cursor": cursor}, headers=headers)

    assert platform.asked[2:] == (Position(AT, ORDER_ID), 50)


def test_a_history_is_told(client, headers):
    answer = client.get(f"{URL}/{ORDER_ID}/timeline", headers=headers)

    assert answer.json.keys() == examples.TIMELINE.keys()
    assert answer.json["entries"][0].keys() == examples.TIMELINE["entries"][0].keys()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/problems"])
def test_what_watches_needs_no_key(client, path):
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/nope", URL, "/docs", "/docs/swagger-ui-bundle.js"])
def test_every_answer_has_the_security_headers(client, path):
    headers = client.get(path, buffered=True).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Cache-Control" in headers
    assert headers["Server"] == "uoop"


def test_requests_are_counted_by_route_and_class_of_status(client, headers):
    counted = {"method": "GET", "route": "/v1/orders/<tracking:order_id>", "status": "4xx"}
    before = REGISTRY.get_sample_value("uoop_http_requests_total", counted) or 0

    client.get(f"{URL}/unknown", headers=headers)

    assert REGISTRY.get_sample_value("uoop_http_requests_total", counted) == before + 1


def test_a_wish_to_cancel_goes_to_the_desk(client, platform, headers):
    answer = client.post(f"/v1/orders/{ORDER_ID}/cancel", headers=headers)

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/orders/{ORDER_ID}"
    ((tenant, name, wanted),) = platform.desk.asked
    assert (tenant, name, wanted.act) == ("t1", ORDER_ID, Act.CANCEL)


def test_a_foreign_order_cannot_be_cancelled(client, platform, headers):
    answer = client.post("/v1/orders/somebody-elses/cancel", headers=headers)

    assert (answer.status_code, answer.json["code"]) == (404, "order-not-found")
    assert platform.desk.asked == []


def test_it_is_too_late_to_cancel_past_the_pivot(client, platform, headers):
    platform.desk.fails = PastPivot(detail="dispatch-to-partner has been called.")

    answer = client.post(f"/v1/orders/{ORDER_ID}/cancel", headers=headers)

    assert (answer.status_code, answer.json["code"]) == (409, "past-pivot")


def test_a_cursor_leads_on_in_its_own_list_and_tenant(client, platform, headers):
    cursor = client.get(URL, headers=headers).json["next_cursor"]

    assert client.get(URL, query_string={"cursor": cursor}, headers=headers).status_code == 200
    assert platform.asked[2] == Position(AT, ORDER_ID)


def test_a_cursor_of_somebody_else_or_of_another_list_is_refused(client, platform, headers):
    platform.tokens["other"] = Principal("t2", "bbbbbbbb", frozenset({"orders:read", "ops"}))
    cursor = client.get(URL, headers=headers).json["next_cursor"]
    others = {"Authorization": "Bearer other"}

    in_other_tenant = client.get(URL, query_string={"cursor": cursor}, headers=others)
    platform.tokens["other"] = Principal("t1", "bbbbbbbb", frozenset({"ops"}))
    in_other_list = client.get("/v1/ops/runs", query_string={"cursor": cursor}, headers=others)

    assert in_other_tenant.json["errors"][0]["code"] == "unknown-cursor"
    assert in_other_list.json["errors"][0]["code"] == "unknown-cursor"


def test_a_cursor_that_was_altered_is_refused(client, headers):
    cursor = client.get(URL, headers=headers).json["next_cursor"]
    signed = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    for at in range(len(signed)):
        altered = signed.copy()
        altered[at] ^= 1
        told = base64.urlsafe_b64encode(altered).decode().rstrip("=")

        assert client.get(URL, query_string={"cursor": told}, headers=headers).status_code == 400


def test_an_orders_tag_begins_with_its_version(client, platform, headers):
    tag = client.get(f"{URL}/{ORDER_ID}", headers=headers).headers["ETag"]

    assert tag.startswith(f'"{platform.view.version}-')


@pytest.mark.parametrize(("tag", "status"), [(None, 202), ("*", 202), ('"2-old"', 412), ("", 412)])
def test_a_cancelling_heeds_what_the_client_has_seen(client, platform, headers, tag, status):
    sent = headers if tag is None else {**headers, "If-Match": tag}

    answer = client.post(f"{URL}/{ORDER_ID}/cancel", headers=sent)

    assert answer.status_code == status
    assert len(platform.desk.asked) == (status == 202)


def test_an_order_that_is_as_the_client_has_seen_it_is_cancelled(client, headers):
    tag = client.get(f"{URL}/{ORDER_ID}", headers=headers).headers["ETag"]

    answer = client.post(f"{URL}/{ORDER_ID}/cancel", headers={**headers, "If-Match": f'"other", {tag}'})
    weak = client.post(f"{URL}/{ORDER_ID}/cancel", headers={**headers, "If-Match": f"W/{tag}"})

    assert (answer.status_code, weak.status_code) == (202, 412)


def test_a_submission_can_be_looked_at_without_being_kept(client, platform, headers):
    del headers["Idempotency-Key"]
    broken = {**examples.ORDER, "currency": "XXX", "tip": 1}

    good = client.post(f"{URL}?validate_only=true", json=examples.ORDER, headers=headers)
    bad = client.post(f"{URL}?validate_only=true", json=broken, headers=headers)

    assert (good.status_code, good.json) == (200, {"valid": True})
    assert (bad.status_code, len(bad.json["errors"])) == (422, 2)
    assert platform.accepted == []
