"""The webhooks' routes: who may use them, what they ask, and how they tell the answers."""

import pytest
from fake_platform import LISTENER, OPERATOR, TOKEN

from app.webhooks.address import AddressRefused
from app.webhooks.desk import WebhooksBusy
from app.webhooks.keyring import SecretUnreadable
from app.webhooks.model import Changes, Replay, TooManyWebhooks, WebhookNotFound
from web.description import webhooks as examples
from web.problem_kinds import KINDS

URL = "/v1/webhooks"
ONE = f"{URL}/w-1"
READING = [("GET", URL), ("GET", ONE), ("GET", f"{ONE}/deliveries")]
CHANGING = [
    ("POST", URL, examples.NEW),
    ("PATCH", ONE, {"description": "other"}),
    ("DELETE", ONE, None),
    ("POST", f"{ONE}/rotate-secret", {}),
    ("POST", f"{ONE}/disable", None),
    ("POST", f"{ONE}/enable", None),
    ("POST", f"{ONE}/test", None),
    ("POST", f"{ONE}/replay", {"place": 7}),
]


def key(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("method", "path"), READING)
def test_reading_needs_the_events_scope(client, platform, method, path):
    assert client.open(path, method=method, headers=key(LISTENER)).status_code == 200
    assert client.open(path, method=method, headers=key(TOKEN)).status_code == 403
    assert {asked[1] for asked in platform.webhooks.asked} == {"t1"}


@pytest.mark.parametrize(("method", "path", "body"), CHANGING)
def test_changing_needs_the_operators_scope(client, platform, method, path, body):
    for token in (LISTENER, TOKEN):
        assert client.open(path, method=method, headers=key(token), json=body).status_code == 403
    assert platform.webhooks.asked == []

    assert client.open(path, method=method, headers=key(OPERATOR), json=body).status_code < 300
    assert {asked[1] for asked in platform.webhooks.asked} == {"t1"}


def test_a_new_webhook_is_told_with_its_secret_and_place(client, platform):
    answer = client.post(URL, headers=key(OPERATOR), json=examples.NEW)

    assert (answer.status_code, answer.json) == (201, examples.WITH_SECRET)
    assert answer.headers["Location"] == f"{URL}/{examples.EXAMPLE['id']}"
    assert platform.webhooks.asked == [("create", "t1", examples.NEW)]


def test_what_is_left_out_of_a_change_stays(client, platform):
    client.patch(ONE, headers=key(OPERATOR), json={"types": []})

    assert platform.webhooks.asked == [("change", "t1", "w-1", Changes(types=[]), {})]


def test_deliveries_are_asked_for_page_by_page(client, platform):
    first = client.get(f"{ONE}/deliveries?failed=true&limit=2", headers=key(LISTENER))
    cursor = first.json["next_cursor"]
    client.get(f"{ONE}/deliveries?cursor={cursor}", headers=key(LISTENER))

    assert first.json["deliveries"] == examples.LISTED["deliveries"]
    (_, *_, asked), (_, *_, next_asked) = platform.webhooks.asked
    assert (asked["failed"], asked["after"], asked["limit"]) == (True, None, 2)
    assert next_asked["after"] == 7


def test_a_replay_is_handed_on(client, platform):
    answer = client.post(f"{ONE}/replay", headers=key(OPERATOR), json={"order_id": "o", "after": 3})

    assert (answer.status_code, answer.json) == (202, {"events": 3, "next_after": None})
    assert platform.webhooks.asked == [("replay", "t1", "w-1", Replay(order_id="o", after=3), {})]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", URL, {}),
        ("POST", URL, {"url": ""}),
        ("POST", URL, {"url": "https://a.example/", "types": ["order.eaten"]}),
        ("POST", URL, {"url": "https://a.example/", "secret": "mine"}),
        ("PATCH", ONE, {"state": "enabled"}),
        ("POST", f"{ONE}/rotate-secret", {"overlap_s": -1}),
        ("POST", f"{ONE}/replay", {}),
        ("POST", f"{ONE}/replay", {"place": 0}),
    ],
)
def test_what_is_sent_is_complete_or_refused(client, platform, method, path, body):
    answer = client.open(path, method=method, headers=key(OPERATOR), json=body)

    assert (answer.status_code, answer.json["code"]) == (422, "invalid-act")
    assert platform.webhooks.asked == []


@pytest.mark.parametrize(
    "refusal",
    [
        WebhookNotFound(),
        TooManyWebhooks(),
        AddressRefused("It must begin with https://."),
        WebhooksBusy(),
        SecretUnreadable(),
    ],
)
def test_a_refusal_is_told_by_its_own_kind(client, platform, refusal):
    platform.webhooks.fails = refusal

    answer = client.post(f"{ONE}/test", headers=key(OPERATOR))

    assert (answer.status_code, answer.json["code"]) == (KINDS[refusal.code].status, refusal.code)
