"""What an HTTP answer says about each item asked for: whatever cannot be read leaves the item in doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from app.providers.port import Answer, Verdict


class Verb(StrEnum):
    """The three questions of the port; the values are the bulk endpoints' names."""

    DO = "do"
    UNDO = "undo"
    FIND = "find"


class _Outcome(msgspec.Struct, frozen=True):
    key: str
    status: str
    reference: str | None = None
    reason: str | None = None
    state: str | None = None


class _Outcomes(msgspec.Struct, frozen=True):
    outcomes: list[_Outcome]


class _RawOutcomes(msgspec.Struct, frozen=True):
    outcomes: list[msgspec.Raw]


class _Refusal(msgspec.Struct, frozen=True):
    reason: str | None = None


_READ_OUTCOME = msgspec.json.Decoder(_Outcome)
_READ_OUTCOMES = msgspec.json.Decoder(_Outcomes)
_READ_RAW_OUTCOMES = msgspec.json.Decoder(_RawOutcomes)
_READ_REFUSAL = msgspec.json.Decoder(_Refusal)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)  # a ValidationError is a DecodeError

# A status that does not answer its verb is as good as garbage.
_VERDICTS: Mapping[Verb, Mapping[str, Verdict]] = {
    Verb.DO: {
        "done": Verdict.DONE,
        "refused": Verdict.REFUSED,
        "unavailable": Verdict.UNAVAILABLE,
    },
    Verb.UNDO: {
        "undone": Verdict.UNDONE,
        "refused": Verdict.REFUSED,
        "unavailable": Verdict.UNAVAILABLE,
    },
    Verb.FIND: {
        "done": Verdict.DONE,
        "undone": Verdict.UNDONE,
        "unknown": Verdict.UNKNOWN,
        "unavailable": Verdict.UNAVAILABLE,
    },
}


def of_single(verb: Verb, key: str, status: int, body: bytes) -> Answer:
    """The answer to a request about `key` alone."""
    if status in (200, 201) or (status == 404 and verb is Verb.FIND):
        try:
            outcome = _READ_OUTCOME.decode(body)
        except _UNREADABLE:
            return Answer(key, Verdict.IN_DOUBT, reason="unreadable answer")
        return _of_outcome(verb, outcome) if outcome.key == key else _other_answer(key)
    return of_failure(verb, [key], status, body)[0]


def of_bulk(verb: Verb, keys: Sequence[str], status: int, body: bytes) -> list[Answer]:
    """The answers to one request about `keys`, in their order; an item left out or said twice is in doubt."""
    if status != 200:
        return of_failure(verb, keys, status, body)
    try:
        outcomes = _READ_OUTCOMES.decode(body).outcomes
    except _UNREADABLE:
        outcomes = _readable_outcomes(body)
    by_key = {outcome.key: outcome for outcome in outcomes}
    if len(by_key) != len(outcomes):
        _drop_contradictions(by_key, outcomes)
    return [_of_outcome(verb, by_key[key]) if key in by_key else _other_answer(key) for key in keys]


def of_failure(verb: Verb, keys: Sequence[str], status: int, body: bytes) -> list[Answer]:
    """One verdict for all that the request asked for, by the status alone."""
    reason = f"status {status}"
    if status in (429, 503):
        verdict = Verdict.UNAVAILABLE
    elif 400 <= status < 500 and verb is not Verb.FIND:  # refusing to look says nothing about the effect
        verdict, reason = Verdict.REFUSED, _refusal_reason(body) or reason
    else:
        verdict = Verdict.IN_DOUBT
    return [Answer(key, verdict, reason=reason) for key in keys]


def _of_outcome(verb: Verb, outcome: _Outcome) -> Answer:
    verdict = _VERDICTS[verb].get(outcome.status)
    if verdict is None:
        return Answer(outcome.key, Verdict.IN_DOUBT, reason="unreadable answer")
    return Answer(outcome.key, verdict, outcome.reference, outcome.reason, outcome.state)


def _other_answer(key: str) -> Answer:
    return Answer(key, Verdict.IN_DOUBT, reason="not in the answer")


def _readable_outcomes(body: bytes) -> list[_Outcome]:
    """One broken item must not cost the others their outcome."""
    outcomes = []
    try:
        for raw in _READ_RAW_OUTCOMES.decode(body).outcomes:
            try:
                outcomes.append(_READ_OUTCOME.decode(raw))
            except _UNREADABLE:
                continue
    except _UNREADABLE:
        return []
    return outcomes


def _drop_contradictions(by_key: dict[str, _Outcome], outcomes: Sequence[_Outcome]) -> None:
    for outcome in outcomes:
        if by_key.get(outcome.key, outcome) != outcome:
            del by_key[outcome.key]


def _refusal_reason(body: bytes) -> str | None:
    try:
        return _READ_REFUSAL.decode(body).reason
    except _UNREADABLE:
        return None
