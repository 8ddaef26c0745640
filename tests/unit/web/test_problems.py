"""Every error answer, whoever gives it, is a problem document, and both lanes give the same."""

import json
import logging
from collections.abc import Callable
from io import BytesIO

import pytest
from fake_platform import FIELD, ORDER_ID, READ_ONLY, TOKEN
from werkzeug.test import Client, TestResponse

from app import errors
from app.orders.model import ExternalIdTaken, InFlight, KeyReused
from web.description import examples
from web.problem_kinds import KINDS
from web.submissions import BODY_LIMIT_BYTES

GOOD = json.dumps(examples.ORDER)
URL = "/v1/orders"


@pytest.fixture
def client(either_client: Client) -> Client:
    return either_client


def submission(
    *, without: str | None = None, body: str | bytes = GOOD, **changes: str
) -> Callable[..., TestResponse]:
    """Make a request of a good submission with changed headers (given with _ for -)."""

    def send(client, headers) -> TestResponse:
        sent = {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return client.post(URL, data=body, headers={name: sent[name] for name in sent if name != without})

    return send


def request(method: str, path: str, **changes: str) -> Callable[..., TestResponse]:
    def send(client, headers) -> TestResponse:
        return client.open(path, method=method, headers={**headers, **changes})

    return send


def chunked(client, headers) -> TestResponse:
    """Send a body without a length that is over the limit."""
    return client.post(
        URL,
        headers={**headers, "Transfer-Encoding": "chunked"},
        input_stream=BytesIO(b" " * (BODY_LIMIT_BYTES + 1)),
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )


KEYED = "Idempotency-Key"
CASES: dict[str, tuple[Callable[..., TestResponse], int, str]] = {
    "unknown path": (request("GET", "/nope"), 404, "no-such-path"),
    "odd path": (request("GET", "/%FF%00/é"), 404, "no-such-path"),
    "two slashes": (request("GET", "/v1//orders"), 404, "no-such-path"),
    "slash at the end": (request("GET", f"{URL}/"), 404, "no-such-path"),
    "no tracking id": (request("GET", f"{URL}/a%00b"), 404, "no-such-path"),
    "long tracking id": (request("GET", f"{URL}/{'a' * 65}"), 404, "no-such-path"),
    "unknown order": (request("GET", f"{URL}/unknown"), 404, "order-not-found"),
    "unknown order's history": (request("GET", f"{URL}/unknown/timeline"), 404, "order-not-found"),
    "unknown problem": (request("GET", "/problems/unknown"), 404, "no-such-path"),
    "unknown asset": (request("GET", "/docs/..%2fapp.py"), 404, "no-such-path"),
    "method": (request("DELETE", URL), 405, "method-not-allowed"),
    "invented method": (request("BREW", URL), 405, "method-not-allowed"),
    "OPTIONS": (request("OPTIONS", URL), 405, "method-not-allowed"),
    "no key": (submission(without="Authorization"), 401, "unauthenticated"),
    "unknown key": (submission(Authorization="Bearer nobody"), 401, "unauthenticated"),
    "other scheme": (submission(Authorization="Basic dTpw"), 401, "unauthenticated"),
    "empty bearer": (submission(Authorization="Bearer "), 401, "unauthenticated"),
    "no key to read": (request("GET", URL, Authorization="x"), 401, "unauthenticated"),
    "scope": (submission(Authorization=f"Bearer {READ_ONLY}"), 403, "missing-scope"),
    "no idempotency key": (submission(without=KEYED), 400, "idempotency-key-missing"),
    "empty idempotency key": (submission(Idempotency_Key=""), 400, "idempotency-key-malformed"),
    "spaced idempotency key": (submission(Idempotency_Key="a b"), 400, "idempotency-key-malformed"),
    "long idempotency key": (submission(Idempotency_Key="k" * 256), 400, "idempotency-key-malformed"),
    "long quoted key": (submission(Idempotency_Key=f'"{"k" * 256}"'), 400, "idempotency-key-malformed"),
    "half quoted key": (submission(Idempotency_Key='"k'), 400, "idempotency-key-malformed"),
    "key with parameters": (submission(Idempotency_Key='"k";a=1'), 400, "idempotency-key-malformed"),
    "key beyond ASCII": (submission(Idempotency_Key="clé"), 400, "idempotency-key-malformed"),
    "no media type": (submission(without="Content-Type"), 415, "unsupported-media-type"),
    "other media type": (submission(Content_Type="text/plain"), 415, "unsupported-media-type"),
    "compressed": (submission(Content_Encoding="gzip"), 415, "unsupported-media-type"),
    "large": (submission(body=" " * (BODY_LIMIT_BYTES + 1)), 413, "body-too-large"),
    "large, chunked": (chunked, 413, "body-too-large"),
    "no body": (submission(body=""), 400, "malformed-json"),
    "no order": (submission(body="{}"), 422, "invalid-order"),
    "unknown filter": (request("GET", f"{URL}?state=x"), 400, "invalid-query"),
    "repeated filter": (request("GET", f"{URL}?limit=1&limit=2"), 400, "invalid-query"),
    "limit": (request("GET", f"{URL}?limit=101"), 400, "invalid-query"),
    "huge limit": (request("GET", f"{URL}?limit={'9' * 5000}"), 400, "invalid-query"),
    "status": (request("GET", f"{URL}?status=LOST"), 400, "invalid-query"),
    "NUL in a filter": (request("GET", f"{URL}?customer_id=a%00"), 400, "invalid-query"),
    "local time": (request("GET", f"{URL}?created_from=2026-11-23T10:00:00"), 400, "invalid-query"),
    "cursor": (request("GET", f"{URL}?cursor=abc"), 400, "invalid-query"),
    "cursor beyond ASCII": (request("GET", f"{URL}?cursor=%C3%A9"), 400, "invalid-query"),
    "cursor of something else": (request("GET", f"{URL}?cursor=e30"), 400, "invalid-query"),
    "unknown parameter": (request("POST", f"{URL}?validate=true"), 400, "invalid-query"),
    "time before the calendar": (
        request("GET", f"{URL}?created_from=0001-01-01T00:00:00%2B12:00"),
        400,
        "invalid-query",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_error_is_a_problem(flask_client, hot_client, platform, headers, case):
    send, status, code = case

    answer = send(flask_client, headers)

    assert_problem(answer, status, code)
    assert told(send(hot_client, headers)) == told(answer)
    assert platform.accepted == []


OUTCOMES = [
    (KeyReused(), 422, "idempotency-key-reused"),
    (ExternalIdTaken(order_id=ORDER_ID), 409, "external-order-id-taken"),
    (InFlight(), 409, "request-in-flight"),
    (errors.Unavailable(), 503, "unavailable"),
    (errors.Rejected(), 422, "rejected"),
    (errors.Conflict(), 409, "conflict"),
    (TimeoutError(), 503, "unavailable"),
    (ZeroDivisionError(), 500, "internal-error"),
]


@pytest.mark.parametrize("case", OUTCOMES, ids=lambda case: f"{case[2]} {type(case[0]).__name__}")
@pytest.mark.parametrize("send", [submission(), request("GET", f"{URL}/{ORDER_ID}")], ids=["submit", "read"])
def test_what_befalls_a_good_request_is_a_problem(flask_client, hot_client, platform, headers, send, case):
    outcome, status, code = case
    platform.outcome = platform.view = outcome

    answer = send(flask_client, headers)

    assert_problem(answer, status, code)
    come_again = status == 503 or code == "request-in-flight"
    assert answer.headers.get("Retry-After") == ("1" if come_again else None)
    assert told(send(hot_client, headers)) == told(answer)


@pytest.mark.parametrize("turned_away", [{"wait_s": 2.2}, {"one_too_many": True}], ids=str)
@pytest.mark.parametrize("send", [submission(), request("GET", f"{URL}/{ORDER_ID}")], ids=["submit", "read"])
def test_both_lanes_turn_away_alike(flask_client, hot_client, platform, headers, send, turned_away):
    vars(platform).update(turned_away)

    assert told(send(hot_client, headers)) == told(send(flask_client, headers))


def test_the_order_with_the_same_external_id_is_linked(client, platform, headers):
    platform.outcome = ExternalIdTaken(order_id=ORDER_ID)

    assert submission()(client, headers).json["links"] == {"order": f"{URL}/{ORDER_ID}"}


def test_overload_is_told_before_anything_is_read(client, platform, headers):
    platform.wait_s = 2.2

    answer = client.post(URL, data=b"{", headers={**headers, "Content-Type": "text/plain"})

    assert_problem(answer, 503, "overloaded")
    assert answer.headers["Retry-After"] == "3"


def test_one_request_too_many_is_told_with_when_to_come_again(client, platform, headers):
    platform.one_too_many = True

    answer = client.get(URL, headers=headers)

    assert_problem(answer, 429, "rate-limited")
    assert answer.headers["Retry-After"] == "3"
    assert answer.headers["RateLimit"] == FIELD[1]


def test_every_answer_to_a_known_caller_tells_what_is_left(client, headers):
    assert client.get(URL, headers=headers).headers["RateLimit"] == FIELD[1]
    assert submission(body="{")(client, headers).headers["RateLimit"] == FIELD[1]


def test_an_unforeseen_error_is_logged_and_hidden(client, platform, headers, capsys, caplog):
    platform.view = ZeroDivisionError("the password is swordfish")

    with caplog.at_level(logging.ERROR):
        answer = client.get(f"{URL}/{ORDER_ID}", headers=headers)

    logged = "".join(capsys.readouterr()) + caplog.text
    assert_problem(answer, 500, "internal-error")
    assert "swordfish" not in answer.text
    assert "swordfish" in logged
    assert answer.json["trace_id"] in logged


def test_a_missing_dependency_is_named(client, platform):
    platform.dependencies["redis"] = "refused"

    answer = client.get("/readyz")

    assert_problem(answer, 503, "not-ready")
    assert answer.json["dependencies"] == {"postgres": True, "redis": "refused"}


def test_faults_are_pointed_at(client, headers):
    answer = submission(body=json.dumps({**examples.ORDER, "total_amount": "7"}))(client, headers)

    assert answer.json["errors"] == [
        {
            "pointer": "/total_amount",
            "code": "wrong-total",
            "message": "must be 6.900, the sum of items and fees",
        }
    ]


def test_the_callers_trace_goes_on(client):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    answer = client.get("/nope", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})

    assert answer.json["trace_id"] == trace


@pytest.mark.parametrize("traceparent", ["", "x", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
def test_without_a_trace_one_begins(client, traceparent):
    traces = {client.get("/nope", headers={"traceparent": traceparent}).json["trace_id"] for _ in range(2)}

    assert len(traces - {"0" * 32}) == 2


@pytest.mark.parametrize(
    ("send", "header", "value"),
    [
        (submission(without="Authorization"), "WWW-Authenticate", 'Bearer realm="uoop"'),
        (
            submission(Authorization="Bearer nobody"),
            "WWW-Authenticate",
            'Bearer realm="uoop", error="invalid_token"',
        ),
        (
            submission(Authorization=f"Bearer {READ_ONLY}"),
            "WWW-Authenticate",
            'Bearer realm="uoop", error="insufficient_scope", scope="orders:write"',
        ),
        (request("PUT", URL), "Allow", "GET, HEAD, POST"),
    ],
)
def test_an_error_says_what_would_help(client, headers, send, header, value):
    assert ", ".join(sorted(send(client, headers).headers[header].split(", "))) == ", ".join(
        sorted(value.split(", "))
    )


@pytest.mark.parametrize("code", KINDS)
def test_every_kind_has_its_page(flask_client, code):
    page = flask_client.get(KINDS[code].type)

    assert page.status_code == 200
    assert code in page.text


def told(answer: TestResponse) -> tuple[int, list[tuple[str, str]], object]:
    """All of an answer but the trace id, which is another each time."""
    body = answer.get_json(force=True)
    body.pop("trace_id", None)
    return answer.status_code, sorted((name.lower(), value) for name, value in answer.headers), body


def assert_problem(answer: TestResponse, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    problem = answer.json
    assert {"type", "title", "status", "detail", "code", "instance", "trace_id"} <= problem.keys()
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"/problems/{code}")
    assert len(problem["trace_id"]) == 32
    assert problem["instance"].startswith("/")
    assert TOKEN not in answer.text
