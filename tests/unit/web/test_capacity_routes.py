"""The routes for capacity and forecasts: who may use them, what they ask, and how they tell the answers."""

from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from fake_platform import OPERATOR, TOKEN

from app.capacity.limits import NotLimited, OddWindows, Wanted
from app.capacity.model import SlotKind
from web.description import capacity as examples
from web.problem_kinds import KINDS

LIMITS, USAGE, FORECAST = "/v1/ops/capacity/limits", "/v1/ops/capacity", "/v1/ops/forecast"
READS = [USAGE, LIMITS, FORECAST, f"{USAGE}/picture", f"{FORECAST}/picture"]


def key(token):
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("url", "example"),
    [
        (USAGE, examples.USAGE_EXAMPLE),
        (LIMITS, examples.LIMITS_EXAMPLE),
        (FORECAST, examples.FORECAST_EXAMPLE),
    ],
)
def test_operators_are_told_as_it_is_described(client, url, example):
    assert client.get(url, headers=key(OPERATOR)).json == example


def test_the_filter_is_handed_on(client, platform):
    client.get(f"{USAGE}?kind=zone&name=north&back_h=2&ahead_h=6&limit=7", headers=key(OPERATOR))

    assert platform.capacity.asked == [("t1", 2, 6, SlotKind.ZONE, "north", 7)]


@pytest.mark.parametrize("url", [url for url in READS if url.endswith("picture")])
def test_pictures_are_svg(client, url):
    answer = client.get(url, headers=key(OPERATOR))

    assert answer.mimetype == "image/svg+xml"
    assert ElementTree.fromstring(answer.text).tag.endswith("svg")


def test_before_the_first_forecast_there_is_none(client, platform):
    platform.capacity.made = None

    assert client.get(FORECAST, headers=key(OPERATOR)).json == {"forecast": None}
    assert client.get(f"{FORECAST}/picture", headers=key(OPERATOR)).status_code == 200


@pytest.mark.parametrize("url", READS)
def test_customers_keys_do_not_open_it(client, url):
    assert client.get(url, headers=key(TOKEN)).status_code == 403


def test_a_limit_is_handed_on_with_who_and_why(client, platform):
    answer = client.post(LIMITS, headers=key(OPERATOR), json=examples.LIMIT)

    assert answer.json == examples.LIMITS_EXAMPLE
    wanted = Wanted(
        kind=SlotKind.ZONE,
        name="26.22,50.58",
        capacity=90,
        since=datetime(2026, 11, 23, 18, tzinfo=UTC),
        until=datetime(2026, 11, 23, 18, 15, tzinfo=UTC),
    )
    assert platform.capacity.asked == [("t1", wanted, "eeeeeeee/fatima", "The causeway is closed.")]


@pytest.mark.parametrize("refusal", [OddWindows, NotLimited])
def test_a_refusal_is_told_by_its_own_kind(client, platform, refusal):
    platform.capacity.fails = refusal(detail="why")

    answer = client.post(LIMITS, headers=key(OPERATOR), json=examples.LIMIT)

    assert (answer.status_code, answer.json["code"]) == (KINDS[refusal.code].status, refusal.code)


@pytest.mark.parametrize(
    "changes", [{"capacity": -1}, {"kind": "table"}, {"reason": ""}, {"since": "tomorrow"}, {"more": 1}]
)
def test_a_limit_is_complete_or_refused(client, platform, changes):
    answer = client.post(LIMITS, headers=key(OPERATOR), json={**examples.LIMIT, **changes})

    assert answer.status_code == 422
    assert platform.capacity.asked == []


@pytest.mark.parametrize("query", ["back_h=13", "ahead_h=0", "kind=table", "limit=1001", "what=1"])
def test_an_odd_filter_is_refused(client, query):
    assert client.get(f"{USAGE}?{query}", headers=key(OPERATOR)).json["code"] == "invalid-query"
