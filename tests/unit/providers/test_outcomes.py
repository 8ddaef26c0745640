"""What an answer says, as tables."""

import json

import pytest

from app.providers import outcomes
from app.providers.outcomes import Verb
from app.providers.port import Verdict


def _outcome(**fields: object) -> bytes:
    return json.dumps({"key": "o:s:1", **fields}).encode()


@pytest.mark.parametrize(
    ("verb", "status", "body", "verdict"),
    [
        (Verb.DO, 201, _outcome(status="done", reference="r"), Verdict.DONE),
        (Verb.DO, 200, _outcome(status="done"), Verdict.DONE),
        (Verb.DO, 409, _outcome(status="refused", reason="undone"), Verdict.REFUSED),
        (Verb.DO, 422, b"", Verdict.REFUSED),
        (Verb.DO, 404, b"<html>", Verdict.REFUSED),
        (Verb.DO, 429, b"", Verdict.UNAVAILABLE),
        (Verb.DO, 503, b"", Verdict.UNAVAILABLE),
        (Verb.DO, 500, b"", Verdict.IN_DOUBT),
        (Verb.DO, 504, b"", Verdict.IN_DOUBT),
        (Verb.DO, 302, b"", Verdict.IN_DOUBT),
        (Verb.DO, 200, b"<html>", Verdict.IN_DOUBT),
        (Verb.DO, 200, b"\xff\xfe", Verdict.IN_DOUBT),
        (Verb.DO, 200, _outcome(status="undone"), Verdict.IN_DOUBT),
        (Verb.DO, 200, json.dumps({"key": "another", "status": "done"}).encode(), Verdict.IN_DOUBT),
        (Verb.UNDO, 200, _outcome(status="undone"), Verdict.UNDONE),
        (Verb.UNDO, 200, _outcome(status="done"), Verdict.IN_DOUBT),
        (Verb.UNDO, 409, _outcome(status="refused", reason="captured"), Verdict.REFUSED),
        (Verb.FIND, 200, _outcome(status="done", reference="r"), Verdict.DONE),
        (Verb.FIND, 200, _outcome(status="undone"), Verdict.UNDONE),
        (Verb.FIND, 404, _outcome(status="unknown"), Verdict.UNKNOWN),
        (Verb.FIND, 404, b"<html>", Verdict.IN_DOUBT),
        (Verb.FIND, 403, b"", Verdict.IN_DOUBT),
    ],
)
def test_a_single_answer_gives_a_verdict(verb: Verb, status: int, body: bytes, verdict: Verdict) -> None:
    answer = outcomes.of_single(verb, "o:s:1", status, body)

    assert (answer.key, answer.verdict) == ("o:s:1", verdict)


def test_a_refusal_carries_its_reason() -> None:
    refused = outcomes.of_single(Verb.DO, "o:s:1", 409, _outcome(status="refused", reason="too-late"))
    silent = outcomes.of_single(Verb.DO, "o:s:1", 403, b"")

    assert (refused.reason, silent.reason) == ("too-late", "status 403")


@pytest.mark.parametrize(
    ("listed", "verdicts"),
    [
        ([{"key": "b", "status": "done"}, {"key": "a", "status": "refused"}], ["refused", "done"]),
        ([{"key": "a", "status": "done"}], ["done", "in-doubt"]),
        ([{"key": "a", "status": "done"}, {"key": "b", "status": "unavailable"}], ["done", "unavailable"]),
        ([{"key": "a", "status": "done"}, {"key": "b", "status": 7}], ["done", "in-doubt"]),
        ([{"key": "a", "status": "done"}, {"key": "b", "status": "?"}], ["done", "in-doubt"]),
        ([{"key": "a", "status": "done"}, 5, None], ["done", "in-doubt"]),
        ([{"key": "a", "status": "done"}, {"key": "a", "status": "refused"}], ["in-doubt", "in-doubt"]),
        ([{"key": "z", "status": "done"}], ["in-doubt", "in-doubt"]),
        ([], ["in-doubt", "in-doubt"]),
    ],
)
def test_a_bulk_answer_gives_each_item_its_own_verdict(listed: list[object], verdicts: list[str]) -> None:
    answers = outcomes.of_bulk(Verb.DO, ["a", "b"], 200, json.dumps({"outcomes": listed}).encode())

    assert [(answer.key, answer.verdict) for answer in answers] == list(zip("ab", verdicts, strict=True))


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, b"<html>", Verdict.IN_DOUBT),
        (200, b'{"outcomes": 3}', Verdict.IN_DOUBT),
        (201, b'{"outcomes": []}', Verdict.IN_DOUBT),
        (500, b"", Verdict.IN_DOUBT),
        (503, b"", Verdict.UNAVAILABLE),
        (401, b"", Verdict.REFUSED),
    ],
)
def test_a_bulk_answer_that_lists_nothing_is_the_same_for_all(
    status: int, body: bytes, verdict: Verdict
) -> None:
    answers = outcomes.of_bulk(Verb.DO, ["a", "b"], status, body)

    assert [answer.verdict for answer in answers] == [verdict, verdict]
