"""
The operators' desk: finds runs and changes their course, in the words of their sagas.

Every act is decided on the locked run and written together with its line in the log of acts, and with the event of
an order that ends by it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from app import database, errors
from app.doorbell import Bell, Doorbell
from app.runs import acts, allowed, search
from app.runs.acts import Done
from app.runs.allowed import Act, Subject
from app.runs.follow_ups import Begun
from app.runs.model import RunState
from app.runs.search import MoneySteps, Place
from app.runs.views import (
    Acted,
    ActedInBulk,
    ParkedGroup,
    Refusals,
    RunFilter,
    RunPage,
    RunStory,
    RunTrace,
)
from sagas import telling, wishes
from sagas.definition import Registry, Saga
from sagas.state import bits
from sagas.steps import authorize_payment, capture_payment, refund_payment, return_money
from sagas.wishes import Refunding, RefundWish

MONEY = frozenset({authorize_payment.NAME, capture_payment.NAME})
MONEY_BACK = frozenset({refund_payment.NAME, return_money.NAME})
BULK_AT_MOST = 1000
_PLAIN = {
    Act.RETRY: allowed.retry,
    Act.COMPENSATE: allowed.compensate,
    Act.CANCEL: allowed.cancel,
    Act.TERMINATE: allowed.terminate,
}
_AT_A_STEP = {Act.SKIP: allowed.skip, Act.REDRIVE: allowed.redrive}


class NotConfirmed(errors.Rejected):
    """To terminate leaves everything standing elsewhere; say confirm=true if that is meant."""

    code = "not-confirmed"


class UnknownStep(errors.Rejected):
    """The saga has no such step."""

    code = "unknown-step"


class StepMissing(errors.Rejected):
    """The act needs the name of a step."""

    code = "step-missing"


class Busy(errors.Unavailable):
    """Somebody else moves the run at this moment."""

    code = "run-busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """
    What an operator wants done.

    :param step: for `skip` (None is where the run stands) and `redrive`
    :param confirm: `terminate` asks for it
    :param dry_run: only say what would happen
    """

    act: Act
    who: str
    why: str
    step: str | None = None
    confirm: bool = False
    dry_run: bool = False


ActedOn = Callable[[Iterable[tuple[str, str]]], None]


def _nobody(_: Iterable[tuple[str, str]]) -> None:
    """Nobody is told."""


class Operations:
    """The desk of one process; every method opens its own short transaction."""

    def __init__(
        self, db: Database, sagas: Registry, doorbell: Doorbell, *, acted_on: ActedOn = _nobody
    ) -> None:
        """:param acted_on: is told whose orders something was done to, by (tenant_id, order_id)"""
        self._db, self._sagas, self._doorbell, self._acted_on = db, sagas, doorbell, acted_on

    def search(self, tenant_id: str, wanted: RunFilter, after: int | None, limit: int) -> RunPage:
        """Runs, newest first, those older than the run id `after`."""
        now = datetime.now(UTC)
        return database.read(
            self._db,
            lambda c: search.page(
                c,
                tenant_id,
                wanted,
                places=self._places(wanted.step),
                step_of=partial(telling.step_of, self._sagas),
                after=after,
                limit=limit,
                now=now,
            ),
        )

    def story(self, tenant_id: str, name: str) -> RunStory:
        """
        Everything about a run.

        :param name: its id, or its order's tracking id
        :raises RunNotFound:
        """
        return database.read(
            self._db, lambda c: telling.story(c, self._sagas, search.resolve(c, tenant_id, name))
        )

    def trace(self, tenant_id: str, name: str) -> RunTrace:
        """
        A run on a line of time; as `story` otherwise.

        :raises RunNotFound:
        """
        return database.read(
            self._db, lambda c: telling.trace(c, self._sagas, search.resolve(c, tenant_id, name))
        )

    def parked(self, tenant_id: str | None) -> list[ParkedGroup]:
        """What waits for a person, of one tenant or with None of all, by where and why it stopped."""
        money = [
            MoneySteps(saga.name, saga.version, *(_numbers(saga, names) for names in (MONEY, MONEY_BACK)))
            for saga in self._sagas
        ]
        return database.read(self._db, lambda c: search.parked(c, tenant_id, money))

    def act(self, tenant_id: str, name: str, wanted: Instruction) -> Acted:
        """
        Do it to one run; to cancel by tracking id means the order, whatever run it has now.

        :raises RunNotFound, NotConfirmed, StepMissing, UnknownStep, Busy: and what `app.runs.allowed` says of the act
        """
        self._ask_back(wanted)
        with self._db.begin() as connection:
            run_id = search.resolve(connection, tenant_id, name)
            (run,) = acts.lock(connection, tenant_id, [run_id], wait=True)
            decided = self._decide(run, wanted, of_order=name == run.order_id)
            if decided and not wanted.dry_run:
                self._keep(connection, [decided], wanted)
        done = decided or self._cancel_promised([run], wanted)[run.order_id]
        if isinstance(done, errors.UoopError):
            raise done
        if not wanted.dry_run:
            self._tell([done])
        return Acted(
            run_id=str(done.after.run_id),
            tracking_id=run.order_id,
            act=wanted.act,
            dry_run=wanted.dry_run,
            before=acts.told(done.before),
            after=acts.told(done.after),
        )

    def act_on_all(
        self,
        tenant_id: str,
        wanted: RunFilter,
        instruction: Instruction,
        *,
        limit: int = BULK_AT_MOST,
        rate_per_s: float | None = None,
    ) -> ActedInBulk:
        """
        Do it to every run that fits and may be acted upon, oldest first; the others stay as they are.

        :param rate_per_s: so many a second become due; None is all at once
        :raises NotConfirmed, StepMissing:
        """
        self._ask_back(instruction)
        now = datetime.now(UTC)
        places = self._places(wanted.step)
        refused: dict[str, Refusals] = {}
        done: list[Done] = []
        promised: list[Subject] = []
        with self._db.begin() as connection:
            found = search.matching(connection, tenant_id, wanted, places=places, limit=limit + 1, now=now)
            chosen = found[:limit]
            runs = acts.lock(connection, tenant_id, chosen, wait=False)
            for run in runs:
                try:
                    decided = self._decide(run, instruction, of_order=False)
                except errors.UoopError as error:
                    _refuse(refused, error, run.order_id)
                else:
                    if decided:
                        done.append(_paced(decided, len(done), rate_per_s))
                    else:
                        promised.append(run)
            for missing in sorted(set(chosen) - {run.run_id for run in runs}):
                _refuse(refused, Busy(), str(missing))
            if done and not instruction.dry_run:
                self._keep(connection, done, instruction)
        for order_id, told in self._cancel_promised(promised, instruction).items():
            if isinstance(told, Done):
                done.append(told)
            else:
                _refuse(refused, told, order_id)
        if done and not instruction.dry_run:
            self._tell(done)
        return ActedInBulk(
            act=instruction.act,
            dry_run=instruction.dry_run,
            matched=len(chosen),
            acted=len(done),
            more=len(found) > limit,
            refused=sorted(refused.values(), key=lambda each: -each.runs),
        )

    def refund(self, tenant_id: str, order_id: str, wish: RefundWish) -> Refunding:
        """
        Begin to give money back.

        :raises: what `sagas.wishes.refund` says
        """
        with self._db.begin() as connection:
            told = wishes.refund(connection, tenant_id, order_id, wish)
        self._acted_on([(tenant_id, order_id)])
        self._doorbell.ring(Bell.CLAIM)
        return told

    def _decide(self, run: Subject, wanted: Instruction, *, of_order: bool) -> Done | None:
        """None if the order was promised: then a run of its own must take that back."""
        saga = self._sagas.get(run.saga, run.version)
        its_shape = telling.shape(saga)
        if wanted.act is Act.CANCEL and saga.is_follow_up and of_order:
            return None
        if wanted.act is Act.CANCEL and not saga.is_follow_up:
            try:
                return Done(wanted.act, run, allowed.cancel(run, its_shape))
            except (allowed.PastPivot, allowed.RunEnded):
                return None
        if wanted.act not in _AT_A_STEP:
            return Done(wanted.act, run, _PLAIN[wanted.act](run, its_shape))
        step = wanted.step or telling.step_of(self._sagas, run) or its_shape.names[0]
        if step not in saga.numbers:
            raise UnknownStep(detail=f"{saga.name} has {', '.join(saga.numbers)}.")
        return Done(wanted.act, run, _AT_A_STEP[wanted.act](run, its_shape, saga.numbers[step]), step)

    def _cancel_promised(
        self, runs: Sequence[Subject], wanted: Instruction
    ) -> dict[str, Done | errors.UoopError]:
        """By order id; in a transaction of its own, since it locks orders, and never runs."""
        if not runs:
            return {}
        before = {run.order_id: run for run in runs}
        with self._db.connect() as connection, connection.begin() as transaction:
            answers = wishes.cancel(connection, list(before), who=wanted.who, why=wanted.why)
            done = {
                order_id: Done(
                    wanted.act,
                    before[order_id],
                    search.one(connection, told.run_id, step_of=partial(telling.step_of, self._sagas))[0],
                )
                for order_id, told in answers.items()
                if isinstance(told, Begun)
            }
            if wanted.dry_run:
                transaction.rollback()
            else:
                acts.log(connection, list(done.values()), who=wanted.who, why=wanted.why)
        refusals = {
            order_id: told for order_id, told in answers.items() if isinstance(told, errors.UoopError)
        }
        return {**done, **refusals}

    def _keep(self, connection: Connection, done: Sequence[Done], wanted: Instruction) -> None:
        acts.keep(connection, done, who=wanted.who, why=wanted.why)
        for saga in self._sagas:
            failures: dict[int, Mapping[str, Any]] = {
                one.after.run_id: one.after.failure
                for one in done
                if one.after.state is RunState.ENDED
                and one.after.failure
                and (one.after.saga, one.after.version) == (saga.name, saga.version)
            }
            if failures:
                saga.on_undone(connection, failures)

    def _tell(self, done: Sequence[Done]) -> None:
        self._acted_on([(one.before.tenant_id, one.before.order_id) for one in done])
        self._doorbell.ring(Bell.CLAIM)
        if any(one.after.state is RunState.ENDED for one in done):
            self._doorbell.ring(Bell.RELAY)

    def _places(self, step: str | None) -> list[Place]:
        return [
            Place(saga.name, saga.version, telling.shape(saga).stage_of(number), number, saga.compensable)
            for saga in self._sagas
            for name, number in saga.numbers.items()
            if name == step
        ]

    def _ask_back(self, wanted: Instruction) -> None:
        if wanted.act is Act.TERMINATE and not wanted.confirm:
            raise NotConfirmed()
        if wanted.act is Act.REDRIVE and wanted.step is None:
            raise StepMissing()


def _paced(done: Done, nth: int, rate_per_s: float | None) -> Done:
    if rate_per_s is None or done.after.state is not RunState.WAITING:
        return done
    due_at = done.after.due_at + timedelta(seconds=nth / rate_per_s)
    return replace(done, after=replace(done.after, due_at=due_at))


def _refuse(refused: dict[str, Refusals], error: errors.UoopError, sample: str) -> None:
    known = refused.get(error.code)
    why = str(error.data.get("detail", error.title))
    first = Refusals(code=error.code, why=why, runs=0, sample=sample)
    refused[error.code] = replace(known or first, runs=(known or first).runs + 1)


def _numbers(saga: Saga, names: Set[str]) -> int:
    return bits([saga.numbers[name] for name in names & saga.numbers.keys()])
