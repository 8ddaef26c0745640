"""The operators' routes for differences: what they ask of the desk, and how they tell its answers."""

import pytest
from fake_platform import OPERATOR, TOKEN

from app.settlement.differences import DifferenceNotFound, DifferenceResolved, NothingToUndo
from app.settlement.model import DifferenceKind
from app.settlement.views import DifferenceFilter, Remedy, State
from web.description import difference_examples as examples
from web.problem_kinds import KINDS

URL = "/v1/ops/differences"


@pytest.fixture
def operator() -> dict[str, str]:
    return {"Authorization": f"Bearer {OPERATOR}", "Content-Type": "application/json"}


def test_differences_are_searched(client, platform, operator):
    platform.differences.next = 12

    answer = client.get(f"{URL}?state=all&kind=double-effect&provider=falcon&limit=1", headers=operator)
    client.get(f"{URL}?cursor={answer.json['next_cursor']}", headers=operator)

    assert answer.json["differences"] == [examples.DIFFERENCE]
    wanted = DifferenceFilter(state=State.ALL, kind=DifferenceKind.DOUBLE_EFFECT, provider="falcon")
    assert platform.differences.asked == [("t1", wanted, None, 1), ("t1", DifferenceFilter(), 12, 50)]


def test_what_is_open_is_counted_and_one_is_told(client, platform, operator):
    assert client.get(f"{URL}/summary", headers=operator).json == examples.SUMMARY
    assert client.get(f"{URL}/17", headers=operator).json == examples.STORY
    assert platform.differences.asked == [("t1",), ("t1", "17")]


@pytest.mark.parametrize(("act", "told"), [(Remedy.RESOLVE, examples.ACTED), (Remedy.UNDO, examples.UNDOING)])
def test_an_act_is_handed_on_with_who_and_why(client, platform, operator, act, told):
    answer = client.post(
        f"{URL}/17/{act}", headers=operator, json={"reason": "because", "operator": "fatima"}
    )

    assert answer.json == told
    assert platform.differences.asked == [("t1", "17", act, "eeeeeeee/fatima", "because")]


@pytest.mark.parametrize("refusal", [DifferenceNotFound, DifferenceResolved, NothingToUndo])
def test_the_desks_refusal_is_told_by_its_own_kind(client, platform, operator, refusal):
    platform.differences.fails = refusal(detail="why")

    answer = client.post(f"{URL}/17/undo", headers=operator, json={"reason": "because"})

    assert (answer.status_code, answer.json["code"]) == (KINDS[refusal.code].status, refusal.code)
    assert answer.json["detail"] == "why"


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "because", "amount": "1"}, []])
def test_an_instruction_is_complete_or_refused(client, platform, operator, body):
    answer = client.post(f"{URL}/17/resolve", headers=operator, json=body)

    assert (answer.status_code, answer.json["code"]) == (422, "invalid-act")
    assert platform.differences.asked == []


@pytest.mark.parametrize("query", ["state=gone", "kind=odd", "limit=0", "cursor=abc", "who=x"])
def test_a_wrong_search_is_refused(client, platform, operator, query):
    answer = client.get(f"{URL}?{query}", headers=operator)

    assert (answer.status_code, answer.json["code"]) == (400, "invalid-query")
    assert platform.differences.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/summary"), ("GET", "/17"), ("POST", "/17/resolve"), ("POST", "/17/undo")],
)
def test_only_operators_get_in(client, platform, method, path):
    answer = client.open(URL + path, method=method, headers={"Authorization": f"Bearer {TOKEN}"})

    assert (answer.status_code, answer.json["code"]) == (403, "missing-scope")
    assert platform.differences.asked == []
