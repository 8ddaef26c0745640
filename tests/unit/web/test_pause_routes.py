"""The switchboard's routes: who may use them, what they ask, and how they tell the answers."""

import pytest
from fake_platform import ADMINISTRATOR, OPERATOR, TOKEN

from app.runs.pauses import Kind, NotPaused
from sagas.pause_desk import Switch, UnknownName
from web.description.pauses import PAUSED_EXAMPLE
from web.problem_kinds import KINDS

URL = "/v1/ops/pauses"
ACTS = ("pause", "resume")


def key(token):
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def test_operators_see_what_is_paused(client, platform):
    assert client.get(URL, headers=key(OPERATOR)).json == PAUSED_EXAMPLE
    assert platform.switchboard.asked == [("paused", "t1")]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", Kind)
def test_a_switch_is_handed_on_with_who_and_why(client, platform, kind, act):
    answer = client.post(
        f"{URL}/{kind}/some-name/{act}",
        headers=key(ADMINISTRATOR),
        json={"reason": "because", "operator": "fatima", "for_s": 60},
    )

    assert answer.json == PAUSED_EXAMPLE
    wanted = Switch(
        kind=kind, name="some-name", tenant_id="t1", who="dddddddd/fatima", why="because", for_s=60.0
    )
    assert platform.switchboard.asked == [(act, wanted)]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("token", [OPERATOR, TOKEN])
def test_only_administrators_switch_since_it_holds_for_all_tenants(client, platform, act, token):
    answer = client.post(f"{URL}/step/s/{act}", headers=key(token), json={"reason": "because"})

    assert (answer.status_code, answer.json["code"]) == (403, "missing-scope")
    assert platform.switchboard.asked == []


@pytest.mark.parametrize("refusal", [NotPaused, UnknownName])
def test_a_refusal_is_told_by_its_own_kind(client, platform, refusal):
    platform.switchboard.fails = refusal(detail="why")

    answer = client.post(f"{URL}/step/s/resume", headers=key(ADMINISTRATOR), json={"reason": "because"})

    assert (answer.status_code, answer.json["code"]) == (KINDS[refusal.code].status, refusal.code)
    assert answer.json["detail"] == "why"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("step/s/pause", {}, 422),
        ("step/s/pause", {"reason": "because", "for_s": 0}, 422),
        ("step/s/pause", {"reason": "because", "until": "tomorrow"}, 422),
        ("worker/s/pause", {"reason": "because"}, 404),
        ("step/s/stop", {"reason": "because"}, 404),
    ],
)
def test_a_switch_is_complete_or_refused(client, platform, path, body, status):
    answer = client.post(f"{URL}/{path}", headers=key(ADMINISTRATOR), json=body)

    assert answer.status_code == status
    assert platform.switchboard.asked == []
