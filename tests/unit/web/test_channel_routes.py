"""The routes of channels: who may use them, what they ask, and how they tell the answers."""

import pytest
from fake_platform import ADMINISTRATOR, OPERATOR, TOKEN

from app.routing.breaker import BreakerState
from app.routing.breakers import NotForced
from app.routing.choice import Weights
from sagas.channel_desk import BreakerSwitch
from sagas.pause_desk import UnknownName
from web.description.channels import CHANNELS_EXAMPLE
from web.problem_kinds import KINDS

URL = "/v1/ops/channels"
FORCE = {"reason": "because", "state": "closed", "for_s": 60}


def key(token):
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def test_operators_see_how_partners_do(client, platform):
    assert client.get(URL, headers=key(OPERATOR)).json == CHANNELS_EXAMPLE
    assert platform.channel_desk.asked == [("channels", "t1")]


def test_a_force_and_a_release_are_handed_on_with_who_and_why(client, platform):
    for act, sent in (("force", FORCE), ("release", {"reason": "because", "operator": "fatima"})):
        assert (
            client.post(f"{URL}/swift/{act}", headers=key(ADMINISTRATOR), json=sent).json == CHANNELS_EXAMPLE
        )

    whose = {"partner": "swift", "tenant_id": "t1", "why": "because"}
    assert platform.channel_desk.asked == [
        ("force", BreakerSwitch(**whose, who="dddddddd", state=BreakerState.CLOSED, for_s=60.0)),
        ("release", BreakerSwitch(**whose, who="dddddddd/fatima")),
    ]


def test_weights_are_the_tenants_own(client, platform):
    sent = {"reason": "because", "weights": {"time": 2}}

    assert client.post(f"{URL}/weights", headers=key(OPERATOR), json=sent).status_code == 200

    ((what, tenant, weights, _, why),) = platform.channel_desk.asked
    assert (what, tenant, weights, why) == ("weigh", "t1", Weights(time=2.0), "because")


@pytest.mark.parametrize("act", ["force", "release"])
@pytest.mark.parametrize("token", [OPERATOR, TOKEN])
def test_only_administrators_hold_breakers_since_that_is_for_all_tenants(client, platform, act, token):
    answer = client.post(f"{URL}/swift/{act}", headers=key(token), json=FORCE)

    assert (answer.status_code, answer.json["code"]) == (403, "missing-scope")
    assert platform.channel_desk.asked == []


@pytest.mark.parametrize("refusal", [NotForced, UnknownName])
def test_a_refusal_is_told_by_its_own_kind(client, platform, refusal):
    platform.channel_desk.fails = refusal(detail="why")

    answer = client.post(f"{URL}/swift/force", headers=key(ADMINISTRATOR), json=FORCE)

    assert (answer.status_code, answer.json["code"]) == (KINDS[refusal.code].status, refusal.code)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("swift/force", {"reason": "because", "state": "open"}),
        ("swift/force", {"reason": "because", "state": "half-open", "for_s": 60}),
        ("swift/force", {"state": "open", "for_s": 60}),
        ("weights", {"reason": "because", "weights": {"cost": 0}}),
        ("weights", {"reason": "because", "weights": {"beauty": 1}}),
    ],
)
def test_an_instruction_is_complete_or_refused(client, platform, path, body):
    assert client.post(f"{URL}/{path}", headers=key(ADMINISTRATOR), json=body).status_code == 422
    assert platform.channel_desk.asked == []
