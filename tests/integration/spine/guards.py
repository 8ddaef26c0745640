"""The guards that keep the promises, each with a way to take it away."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any
from unittest import mock

from fake_providers import FakeProvider, Mood
from sqlalchemy import Engine as Database
from sqlalchemy import event
from storm import Script

from app.capacity import ledger, service
from app.runs import attempts, executions
from app.runs.model import UNDONE, Member
from sagas import gate, state
from sagas.steps import asking, dispatch_to_partner

Break = Callable[[Database], AbstractContextManager[object]]


@dataclass(frozen=True)
class Guard:
    """
    :param breaks: ways in which it is taken away, all at once: those that would stand in for each other
    :param found_by: a script in which the platform without it breaks a promise; others may, too
    """

    breaks: tuple[Break, ...]
    found_by: Script

    @contextmanager
    def taken_away(self, db: Database) -> Iterator[None]:
        with ExitStack() as stack:
            for one in self.breaks:
                stack.enter_context(one(db))
            yield


def sql(old: str, new: str) -> Break:
    """Say `new` instead of `old` in every statement."""

    @contextmanager
    def taken_away(db: Database) -> Iterator[None]:
        met = []

        def rewritten(_c: Any, _k: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
            if old in statement:
                met.append(statement)
            return statement.replace(old, new), parameters

        event.listen(db, "before_cursor_execute", rewritten, retval=True)
        try:
            yield
        finally:
            event.remove(db, "before_cursor_execute", rewritten)
        assert met, f"nobody says {old}"

    return taken_away


def lua(old: str, new: str) -> Break:
    """Say `new` instead of `old` in the ledger's scripts."""

    @contextmanager
    def taken_away(_: Database) -> Iterator[None]:
        assert old in ledger._RESERVE + ledger._DROP
        with (
            mock.patch.object(ledger, "_RESERVE", ledger._RESERVE.replace(old, new)),
            mock.patch.object(ledger, "_DROP", ledger._DROP.replace(old, new)),
        ):
            yield

    return taken_away


def code(module: Any, name: str, instead: Any) -> Break:
    return lambda _: mock.patch.object(module, name, instead)


_numbers = count()


def _another_key_each_time(member: Member, step: str, *parts: str) -> str:
    return ":".join((member.order_id, step, *parts, str(next(_numbers))))


def _asks_without_looking(
    provider: Any, resource: Any, requests: Any, call: Any, *, asked_before: Any
) -> Any:
    told = provider.do(resource, list(requests.values()), timeout_s=call.patience_s)
    return dict(zip(requests, told, strict=True))


def _forgets(self: FakeProvider, resource: str, key: str) -> Any:
    answer = _UNDO(self, resource, key)
    if self._states.get((resource, key)) == "undone":
        del self._states[resource, key]
    return answer


_UNDO = FakeProvider._undo
_DEPARTURE = state.Departure


def _only_what_answered(**fields: Any) -> Any:
    return _DEPARTURE(**fields | {"touched": fields["done"]})


def _still(*_: Any) -> bool:
    return True


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _says_it_was_recalled(_p: Any, _c: Any, _name: str, group: Any) -> dict[int, Any]:
    return {asked.member.run_id: UNDONE for asked in group}


_REQUEST = dispatch_to_partner._request


def _without_bound(asked: Any, places: Any) -> Any:
    return replace(_REQUEST(asked, places), not_after=datetime.max.replace(tzinfo=UTC))


DISPATCH = "dispatch-to-partner"
FIRST = "dhow"
LOCK_FENCE = sql("AND epoch = %(epoch)s AND ended_at IS NULL FOR ", "FOR ")
FINISH_FENCE = sql("AND epoch = %(epoch)s AND executor = %(executor)s AND finished_at IS NULL", "")
RUNNING = sql("AND (executions.epoch < excluded.epoch OR executions.executor = excluded.executor)", "")
HOLD = code(executions, "hold", _nothing)
ASLEEP_IN = (("deliver", 0), ("to", 0, "after do"), ("overtake", 1), ("step", 0, None))

GUARDS = {
    "the fence: who was overtaken finishes nothing": Guard(
        (LOCK_FENCE, FINISH_FENCE),
        Script(until="place-with-restaurant", ops=ASLEEP_IN),
    ),
    "the fence: a step that is passed is not begun again": Guard(
        (
            sql("WHERE itinerary[leg + 1] = %(stage)s", ""),
            sql("WHERE executions.finished_at IS NULL\n                AND (", "WHERE ("),
            sql("OR executions.executor = excluded.executor)", "OR true)"),
            sql("AND executor = %(executor)s AND finished_at IS NULL", "AND executor = %(executor)s"),
        ),
        Script(
            until="place-with-restaurant",
            ops=(("double", 0), ("step", 0, None), ("deliver", 0), ("step", 0, None)),
        ),
    ),
    "the lease: a running step is not begun by another": Guard(
        (RUNNING, HOLD),
        Script(
            until=DISPATCH,
            moods=((FIRST, "do", Mood.REFUSE, 1),),
            ops=(("double", 0), ("to", 0, "after do"), ("deliver", 0), ("step", 1, None), ("step", 0, None)),
        ),
    ),
    "the lease: who was overtaken asks nobody else": Guard(
        (HOLD,), Script(until=DISPATCH, moods=((FIRST, "do", Mood.REFUSE, 1),), ops=ASLEEP_IN)
    ),
    "the lease: it is one executor's": Guard(
        (sql("AND e.executor = %(executor)s AND e.finished_at IS NULL AND c", "AND c"),),
        Script(until=DISPATCH, moods=((FIRST, "do", Mood.REFUSE, 1),), ops=ASLEEP_IN),
    ),
    "keys: the same each time": Guard(
        (code(asking, "key", _another_key_each_time),),
        Script(
            until="place-with-restaurant", moods=(("kitchens", "do", Mood.LOSE_ANSWER, 1),), ops=(("go", 2),)
        ),
    ),
    "keys: looked for before they are used again": Guard(
        (code(asking, "do", _asks_without_looking),), Script(deaf="kitchens")
    ),
    "tombstones: at the providers": Guard(
        (code(FakeProvider, "_undo", _forgets),),
        Script(
            until="authorize-payment",
            moods=(("payment", "do", Mood.LATE, 1), ("kitchens", "do", Mood.REFUSE, 1)),
            ops=(("go", 16),),
        ),
    ),
    "tombstones: in the ledger": Guard(
        (lua("if redis.call('ZSCORE', prefix .. 'gone:' .. slot, order) then return 2 end", ""),),
        Script(
            until="reserve-capacity",
            ops=(
                ("deliver", 0),
                ("to", 0, "before ledger"),
                ("overtake", 4),
                ("cancel", 0),
                ("step", 1, None),
                ("go", 16),
                ("step", 0, None),
            ),
        ),
    ),
    "the gate: not cancelled": Guard(
        (sql("OR NOT r.cancel_requested AND r.not_after", "OR r.not_after"),),
        Script(until=DISPATCH, ops=(("cancel", 0), ("step", 0, None))),
    ),
    "the gate: in time, where neither the steps nor the partners look at it": Guard(
        (
            sql("OR NOT r.cancel_requested AND r.not_after > now()", "OR NOT r.cancel_requested"),
            code(gate, "expired", lambda *_, **__: {}),
            code(dispatch_to_partner, "_request", _without_bound),
        ),
        Script(until=DISPATCH, ops=(("late", 0),)),
    ),
    "the gate: with its place": Guard(
        (sql("AND (NOT %(needs_hold)s OR EXISTS", "AND (true OR EXISTS"),),
        Script(until=DISPATCH, ops=(("lapse", 0),)),
    ),
    "the ledger's epoch: asked for in each call": Guard(
        (lua("if redis.call('GET', KEYS[1]) ~= epoch then", "if false then"),),
        Script(
            orders=2,
            size=1,
            limit=1,
            ops=(("go", 4), ("empty_ledger",), ("claim",), ("step", 0, None), ("go", 12)),
        ),
    ),
    "the ledger's epoch: asked for again when holds are kept": Guard(
        (code(service, "still", _still),),
        Script(
            until="reserve-capacity",
            ops=(
                ("deliver", 0),
                ("to", 0, "after ledger"),
                ("empty_ledger",),
                ("reconcile",),
                ("step", 1, None),
            ),
        ),
    ),
    "the slot: one cohort's": Guard(
        (sql("ORDER BY s.n LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED", "ORDER BY s.n LIMIT 1"),),
        Script(
            orders=2,
            size=1,
            ops=(
                ("claim",),
                ("step", 0, 6),
                ("claim",),
                ("step", 1, None),
                ("step", 0, None),
                ("empty_broker",),
            ),
        ),
    ),
    "intent: what may have happened is undone": Guard(
        (code(state, "Departure", _only_what_answered),),
        Script(
            orders=2,
            limit=1,
            until="reserve-capacity",
            moods=(("payment", "do", Mood.LOSE_ANSWER, 2),),
            ops=(("go", 3),),
        ),
    ),
    "intent: who is asked next is kept": Guard(
        (code(attempts, "intend", _nothing),),
        Script(
            until=DISPATCH,
            moods=((FIRST, "do", Mood.REFUSE, 1),),
            ops=(("deliver", 0), ("to", 0, "after do"), ("to", 0, "after do"), ("kill", 0), ("overtake", 1)),
        ),
    ),
    "ambiguity: a recall before the next is asked": Guard(
        (code(dispatch_to_partner, "_recall", _says_it_was_recalled),),
        Script(
            until=DISPATCH,
            moods=((FIRST, "do", Mood.LATE, 1), (FIRST, "do", Mood.REFUSE, 1)),
            ops=(("go", 4),),
        ),
    ),
    "ambiguity: who may have been asked is not sure": Guard(
        (code(dispatch_to_partner._Asked, "sure", property(_still)),),
        Script(
            until=DISPATCH,
            moods=((FIRST, "do", Mood.LATE, 1), (FIRST, "do", Mood.UNAVAILABLE, 1)),
            ops=(("go", 4),),
        ),
    ),
}
