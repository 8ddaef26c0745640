"""Asking a provider for a whole cohort, and reading its answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from sqlalchemy import text

from app.providers import port
from app.providers.port import Answer, Provider, Request, Resource
from app.runs.model import DONE, UNDONE, Member, Outcome, Verdict, paused_lane
from app.runs.pauses import Kind
from sagas import pausing
from sagas.definition import Call
from sagas.ports import Ports

LONGEST_CALL_S = 10.0  # from the moment when a provider has looked at `not_after` to the effect


class WithPartner(Protocol):
    """Something that is asked of one delivery partner."""

    @property
    def partner(self) -> str: ...


W = TypeVar("W", bound=WithPartner)
T = TypeVar("T")


class NotAsked(Answer):
    """What is known of an effect when an operator holds its provider back: in doubt if it may have been asked for."""

    __slots__ = ()


def partners_lane(*names: str) -> str:
    """Where the orders wait that only these partners, all held back, can help on."""
    return paused_lane(Kind.PARTNER, *names)


def key(member: Member, step: str, *parts: str) -> str:
    """The idempotency key at the other side: `ORDER:STEP[:PARTNER]:GENERATION`, fixed before the first call."""
    return key_of(member.order_id, step, *parts, generation=member.generation)


def key_of(order_id: str, step: str, *parts: str, generation: int) -> str:
    """The same, of any run on the order."""
    return ":".join((order_id, step, *parts, str(generation)))


def do(
    provider: Provider,
    resource: Resource,
    requests: Mapping[int, Request],
    call: Call,
    *,
    asked_before: Sequence[int],
    probing: bool = False,
) -> dict[int, Answer]:
    """
    Bring the effects about, by run id; a provider that is paused is not asked.

    Those that were asked before, and whose answer was lost, are looked for first: a provider that works but
    answers too late would never be heard otherwise. One that does not answer that is not asked for the others.

    :param probing: look for all of them first
    """
    if provider.name in call.paused:
        verdict = port.Verdict.UNAVAILABLE if call.sure else port.Verdict.IN_DOUBT
        return {run_id: NotAsked(request.key, verdict) for run_id, request in requests.items()}
    answers: dict[int, Answer] = {}
    lost = list(requests) if probing else [run_id for run_id in asked_before if run_id in requests]
    if lost:
        found = provider.find(resource, [requests[run_id].key for run_id in lost], timeout_s=call.patience_s)
        unheard = {answer.verdict for answer in found} <= {port.Verdict.IN_DOUBT, port.Verdict.UNAVAILABLE}
        if unheard and (probing or all(answer.verdict is port.Verdict.IN_DOUBT for answer in found)):
            return _not_asked_further(requests, asked_before)
        answers = {run_id: a for run_id, a in zip(lost, found, strict=True) if a.verdict is port.Verdict.DONE}
    left = [run_id for run_id in requests if run_id not in answers]
    if left:
        told = provider.do(resource, [requests[run_id] for run_id in left], timeout_s=call.patience_s)
        answers.update(zip(left, told, strict=True))
    return answers


def _not_asked_further(requests: Mapping[int, Request], asked_before: Sequence[int]) -> dict[int, Answer]:
    before = frozenset(asked_before)
    return {
        run_id: Answer(
            request.key,
            port.Verdict.IN_DOUBT if run_id in before else port.Verdict.UNAVAILABLE,
            reason="silent",
        )
        for run_id, request in requests.items()
    }


def outcomes(
    provider: Provider, answers: Mapping[int, Answer], *, refused: str, done: Outcome = DONE
) -> dict[int, Outcome]:
    """
    What the answers to `do` mean for the orders.

    :param refused: the code of a refusal
    """
    table = {
        port.Verdict.DONE: done,
        port.Verdict.REFUSED: Outcome(Verdict.REJECTED, refused),
        port.Verdict.UNAVAILABLE: Outcome(Verdict.UNAVAILABLE, "unavailable", provider=provider.name),
        port.Verdict.IN_DOUBT: Outcome(Verdict.IN_DOUBT, "in-doubt", provider=provider.name),
    }
    return {
        run_id: pausing.outcome(partners_lane(provider.name), sure=answer.verdict is port.Verdict.UNAVAILABLE)
        if isinstance(answer, NotAsked)
        else table[answer.verdict]
        for run_id, answer in answers.items()
    }


def undo(
    ports: Ports,
    provider: Provider,
    resource: Resource,
    keys: Mapping[int, str],
    call: Call,
    members: Iterable[Member],
) -> dict[int, Outcome]:
    """
    Take the effects back by key, by run id; a key that was never used becomes unusable.

    With a provider that keeps no tombstones a call that is still on its way would work after its undoing. What
    stands is taken back at once there too, but only an undoing that comes when no call can is the last one.
    """
    found = _undo(provider, resource, keys, call)
    if provider.tombstones:
        return found
    left_s = {run_id: left_s + LONGEST_CALL_S for run_id, left_s in time_left_s(ports, members).items()}
    return {
        run_id: Outcome(Verdict.NOT_YET, "may-still-act", due_in_s=left_s[run_id])
        if outcome is UNDONE and left_s[run_id] > 0
        else outcome
        for run_id, outcome in found.items()
    }


def _undo(provider: Provider, resource: Resource, keys: Mapping[int, str], call: Call) -> dict[int, Outcome]:
    if provider.name in call.paused:
        return dict.fromkeys(keys, pausing.outcome(partners_lane(provider.name), sure=True))
    told = provider.undo(resource, list(keys.values()), timeout_s=call.patience_s)
    table = {
        port.Verdict.UNDONE: UNDONE,
        port.Verdict.REFUSED: Outcome(Verdict.REJECTED, "undo-refused"),
        port.Verdict.UNAVAILABLE: Outcome(Verdict.UNAVAILABLE, "unavailable", provider=provider.name),
        port.Verdict.IN_DOUBT: Outcome(Verdict.IN_DOUBT, "in-doubt", provider=provider.name),
    }
    found = {run_id: table[answer.verdict] for run_id, answer in zip(keys, told, strict=True)}
    if provider.tombstones:
        return found
    standing = {run_id: keys[run_id] for run_id, outcome in found.items() if outcome is not UNDONE}
    return found | _not_standing(provider, resource, standing, call)


def _not_standing(
    provider: Provider, resource: Resource, keys: Mapping[int, str], call: Call
) -> dict[int, Outcome]:
    """Those of the keys that have no effect now: without tombstones, an unknown key may be refused."""
    if not keys:
        return {}
    told = provider.find(resource, list(keys.values()), timeout_s=call.patience_s)
    nothing = (port.Verdict.UNKNOWN, port.Verdict.UNDONE)
    return {run_id: UNDONE for run_id, answer in zip(keys, told, strict=True) if answer.verdict in nothing}


def time_left_s(ports: Ports, members: Iterable[Member]) -> dict[int, float]:
    """Seconds until each member's time is over, by the database's clock."""
    with ports.engine.begin() as connection:
        now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return {m.run_id: (m.not_after - now).total_seconds() for m in members}


def take_back(
    provider: Provider, resource: Resource, keys: Mapping[int, str], call: Call, *, refused: str
) -> dict[int, Outcome]:
    """
    As `undo`, for a run that goes forward by it: what is taken back is done. The effects are known to stand, so
    that no call is on its way any more.

    :param refused: the code of a refusal
    """
    told = _undo(provider, resource, keys, call) if keys else {}
    table = {Verdict.UNDONE: DONE, Verdict.REJECTED: Outcome(Verdict.REJECTED, refused)}
    return {run_id: table.get(outcome.verdict, outcome) for run_id, outcome in told.items()}


def side_by_side(turn: Sequence[W], ask: Callable[[str, Sequence[W]], Mapping[int, T]]) -> dict[int, T]:
    """One call per partner, all at once, for orders that ask one each; what they told, by run id."""
    return {run_id: answer for told in each_at_once(turn, ask) for run_id, answer in told.items()}


def each_at_once(
    turn: Sequence[W], ask: Callable[[str, Sequence[W]], Mapping[int, T]]
) -> list[Mapping[int, T]]:
    """One call per partner, all at once; what each told, by run id."""
    groups: dict[str, list[W]] = {}
    for asked in turn:
        groups.setdefault(asked.partner, []).append(asked)
    if len(groups) <= 1:
        return [ask(name, group) for name, group in groups.items()]
    with ThreadPoolExecutor(max_workers=len(groups)) as pool:
        return list(pool.map(lambda item: ask(*item), groups.items()))


def tried_before(members: Sequence[Member]) -> list[int]:
    return [member.run_id for member in members if member.attempts]
