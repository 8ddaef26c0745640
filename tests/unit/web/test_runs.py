"""The operators' routes: what they ask of the desk, and how they tell its answers."""

import pytest
from fake_platform import OPERATOR, TOKEN

from app import errors
from app.runs import allowed
from app.runs.acts import RunNotFound
from app.runs.allowed import Act
from app.runs.views import RunFilter, State
from sagas import operations
from sagas.operations import Instruction
from web.description import run_examples as examples
from web.problem_kinds import KINDS

URL = "/v1/ops/runs"
REFUSALS = [
    *(
        each
        for each in vars(allowed).values()
        if isinstance(each, type) and issubclass(each, errors.UoopError)
    ),
    RunNotFound,
    operations.NotConfirmed,
    operations.UnknownStep,
    operations.StepMissing,
]


@pytest.fixture
def operator() -> dict[str, str]:
    return {"Authorization": f"Bearer {OPERATOR}", "Content-Type": "application/json"}


def test_runs_are_searched(client, platform, operator):
    platform.desk.next = 77

    answer = client.get(f"{URL}?state=parked&step=plan-fulfilment&older_than_s=60&limit=2", headers=operator)
    client.get(f"{URL}?cursor={answer.json['next_cursor']}", headers=operator)

    assert answer.json["runs"] == [examples.RUN]
    wanted = RunFilter(state=State.PARKED, step="plan-fulfilment", older_than_s=60.0)
    assert platform.desk.asked == [("t1", wanted, None, 2), ("t1", RunFilter(), 77, 50)]


def test_a_story_and_what_is_parked_are_told(client, platform, operator):
    assert client.get(f"{URL}/some-run", headers=operator).json == examples.STORY
    assert client.get(f"{URL}/parked", headers=operator).json == examples.PARKED
    assert client.get(f"{URL}/some-run/trace", headers=operator).json == examples.TRACE
    assert platform.desk.asked == [("t1", "some-run"), ("t1",), ("t1", "some-run")]


@pytest.mark.parametrize("act", Act)
def test_an_act_is_handed_on_with_who_and_why(client, platform, operator, act):
    answer = client.post(
        f"{URL}/some-run/{act}",
        headers=operator,
        json={"reason": "because", "operator": "fatima", "step": "s", "confirm": True, "dry_run": True},
    )

    assert answer.json == examples.ACTED
    wanted = Instruction(act=act, who="eeeeeeee/fatima", why="because", step="s", confirm=True, dry_run=True)
    assert platform.desk.asked == [("t1", "some-run", wanted)]


def test_an_act_in_bulk_is_handed_on(client, platform, operator):
    answer = client.post(f"{URL}/bulk", headers=operator, json={**examples.IN_BULK, "limit": 5})

    assert answer.json == examples.ACTED_IN_BULK
    wanted = RunFilter(state=State.PARKED, step="place-with-restaurant", code="raised-KeyError")
    instruction = Instruction(act=Act.RETRY, who="eeeeeeee/fatima", why=examples.REASON["reason"])
    assert platform.desk.asked == [("t1", wanted, instruction, 5, 20.0)]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.code)
def test_the_desks_refusal_is_told_by_its_own_kind(client, platform, operator, refusal):
    platform.desk.fails = refusal(detail="why")

    answer = client.post(f"{URL}/some-run/retry", headers=operator, json={"reason": "because"})

    assert (answer.status_code, answer.json["code"]) == (KINDS[refusal.code].status, refusal.code)
    assert answer.json["detail"] == "why"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("r/retry", {}, 422, "invalid-act"),
        ("r/retry", {"reason": ""}, 422, "invalid-act"),
        ("r/retry", {"reason": "because", "force": True}, 422, "invalid-act"),
        ("r/retry", [], 422, "invalid-act"),
        ("r/retry", None, 400, "malformed-json"),
        ("r/explode", {"reason": "because"}, 404, "no-such-path"),
        ("bulk", {"reason": "because", "act": "retry"}, 422, "invalid-act"),
        ("bulk", {"reason": "because", "act": "retry", "filter": {}}, 422, "invalid-act"),
        ("bulk", {"reason": "because", "act": "retry", "filter": {"stat": "parked"}}, 422, "invalid-act"),
        ("bulk", {"reason": "because", "act": "explode", "filter": {"step": "s"}}, 422, "invalid-act"),
        (
            "bulk",
            {"reason": "because", "act": "retry", "filter": {"step": "s"}, "limit": 1001},
            422,
            "invalid-act",
        ),
        (
            "bulk",
            {"reason": "because", "act": "retry", "filter": {"step": "s"}, "rate_per_s": 0},
            422,
            "invalid-act",
        ),
    ],
)
def test_an_instruction_is_complete_or_refused(client, platform, operator, path, body, status, code):
    given = {"json": body} if body is not None else {"data": "{"}

    answer = client.post(f"{URL}/{path}", headers=operator, **given)

    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert platform.desk.asked == []


@pytest.mark.parametrize("query", ["state=stuck", "who=x", "older_than_s=-1", "cursor=abc", "cursor=e30"])
def test_a_wrong_search_is_refused(client, platform, operator, query):
    answer = client.get(f"{URL}?{query}", headers=operator)

    assert (answer.status_code, answer.json["code"]) == (400, "invalid-query")
    assert platform.desk.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("", "/parked", "/r", "/r/trace")),
        *(("POST", path) for path in ("/bulk", *(f"/r/{act}" for act in Act))),
    ],
)
def test_only_operators_get_in(client, platform, method, path):
    answer = client.open(URL + path, method=method, headers={"Authorization": f"Bearer {TOKEN}"})

    assert (answer.status_code, answer.json["code"]) == (403, "missing-scope")
    assert platform.desk.asked == []
