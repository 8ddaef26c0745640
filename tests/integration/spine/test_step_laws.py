"""The laws that every step obeys: those of every registered saga are taken, without naming any."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from fake_providers import Mood
from world import World

from app.runs import executions
from app.runs.model import LostCohort, Member, Outcomes, Verdict
from sagas.all import SAGAS
from sagas.definition import Call, Result, Saga, Step

# A step that several sagas share is taken once.
_DISTINCT = {step: saga for saga in SAGAS for step in saga.steps}
ALL = [pytest.param(saga, step, id=step.name) for step, saga in _DISTINCT.items()]
UNDOABLE = [pytest.param(saga, step, id=step.name) for step, saga in _DISTINCT.items() if step.compensation]
COHORT = 3

pytestmark = pytest.mark.parametrize("fleet", [False, True], ids=["partners", "own fleet"])


class Bench:
    """A cohort that has come as far as the step, and the step's action and compensation to be called at will."""

    def __init__(self, world: World, saga: Saga, step: Step, *, fleet: bool) -> None:
        if fleet:
            world.add_courier()
        orders = world.accept(COHORT)
        if saga.is_follow_up:
            world.settle()
            world.follow_up(saga, *orders)
        else:
            world.sql(
                "UPDATE runs SET saga = :saga, version = :version", saga=saga.name, version=saga.version
            )
        self.world, self.step, self._number = world, step, saga.numbers[step.name]
        self._claimed = world.claim_one()
        world.walk(self._claimed, until=first_of_stage(saga, step))
        self.executor = uuid.uuid4().hex
        with world.db.begin() as connection:
            cohort, _ = executions.begin(
                connection,
                cohort_id=self._claimed.id,
                epoch=1,
                stage=next(n for n, stage in enumerate(saga.stages) if step in stage.steps),
                step=self._number,
                executor=self.executor,
            )
            uses = [(name, saga.numbers[name]) for name in step.uses]
            self.members = executions.members(connection, cohort, reads=step.reads, uses=uses)

    def do(self, *, executor: str | None = None, recorded: bool = True) -> Outcomes:
        return self._kept(self.step.action(self.world.ports, self._call(executor), self.members), recorded)

    def undo(self, *, members: Sequence[Member] | None = None) -> Outcomes:
        assert self.step.compensation
        result = self.step.compensation(self.world.ports, self._call(None), members or self.members)
        return self._kept(result, recorded=True)

    def state(self) -> dict[str, Any]:
        """All that the step could have brought about."""
        return {
            "standing": sorted(self.world.standing()),
            "held": self.world.rows(
                "SELECT run_id, slot FROM capacity_holds WHERE released_at IS NULL ORDER BY 1"
            ),
            "ledger": {
                key: self.world.redis.zrange(key, 0, -1)
                for key in sorted(self.world.redis.scan_iter(match="*:hold:*"))
            },
            "orders": self.world.rows("SELECT id, status, version, partner FROM uoop_orders ORDER BY 1"),
            "events": self.world.rows("SELECT order_id, sequence FROM outbox_in ORDER BY 1, 2"),
        }

    def _call(self, executor: str | None) -> Call:
        return Call(
            lane="front",
            patience_s=0.5,
            sure=True,
            cohort_id=self._claimed.id,
            step=self._number,
            executor=executor or self.executor,
        )

    def _kept(self, result: Result, recorded: bool) -> Outcomes:
        if not result.record or not recorded:
            return result.outcomes
        with self.world.db.begin() as connection:
            return result.record(connection, result.outcomes)


def first_of_stage(saga: Saga, step: Step) -> str:
    return next(stage.steps[0].name for stage in saga.stages if step in stage.steps)


def verdicts(outcomes: Outcomes) -> set[Verdict]:
    return {outcome.verdict for outcome in outcomes.values()}


@pytest.mark.parametrize(("saga", "step"), ALL)
def test_every_member_gets_one_outcome(world: World, saga: Saga, step: Step, fleet: bool) -> None:
    bench = Bench(world, saga, step, fleet=fleet)

    outcomes = bench.do()

    assert outcomes.keys() == {member.run_id for member in bench.members}
    assert len(outcomes) == COHORT


@pytest.mark.parametrize(("saga", "step"), ALL)
def test_twice_is_once(world: World, saga: Saga, step: Step, fleet: bool) -> None:
    bench = Bench(world, saga, step, fleet=fleet)
    bench.do()
    once = bench.state()

    outcomes = bench.do()

    assert bench.state() == once
    assert verdicts(outcomes) == {Verdict.DONE}


@pytest.mark.parametrize(("saga", "step"), UNDOABLE)
def test_undo_without_do_changes_nothing(world: World, saga: Saga, step: Step, fleet: bool) -> None:
    bench = Bench(world, saga, step, fleet=fleet)
    before = bench.state()

    outcomes = bench.undo()

    assert bench.state() == before
    assert verdicts(outcomes) == {Verdict.UNDONE}


@pytest.mark.parametrize("answer", ["heard", "lost at the other side", "lost with its executor"])
@pytest.mark.parametrize(("saga", "step"), UNDOABLE)
def test_do_then_undo_is_as_before(world: World, saga: Saga, step: Step, fleet: bool, answer: str) -> None:
    bench = Bench(world, saga, step, fleet=fleet)
    before = bench.state()
    if answer == "lost at the other side":
        for provider in world.providers():
            provider.behave(Mood.LOSE_ANSWER)
    bench.do(recorded=answer != "lost with its executor")
    between = bench.state()

    outcomes = bench.undo()

    assert between != before
    assert bench.state() == before
    assert verdicts(outcomes) == {Verdict.UNDONE}


@pytest.mark.parametrize(("saga", "step"), UNDOABLE)
def test_undo_twice_is_undo_once(world: World, saga: Saga, step: Step, fleet: bool) -> None:
    bench = Bench(world, saga, step, fleet=fleet)
    before = bench.state()
    bench.do()
    bench.undo()

    outcomes = bench.undo()

    assert bench.state() == before
    assert verdicts(outcomes) == {Verdict.UNDONE}


@pytest.mark.parametrize("done_before", [False, True], ids=["never done", "done before"])
@pytest.mark.parametrize(("saga", "step"), UNDOABLE)
def test_a_late_do_after_undo_has_no_effect(
    world: World, saga: Saga, step: Step, fleet: bool, done_before: bool
) -> None:
    bench = Bench(world, saga, step, fleet=fleet)
    before = bench.state()
    if done_before:
        bench.do()
    bench.undo()

    late: Outcomes = {}
    with suppress(LostCohort):
        late = bench.do(executor="overtaken long ago")

    assert bench.state() == before
    assert Verdict.DONE not in verdicts(late)


@pytest.mark.parametrize(("saga", "step"), UNDOABLE)
def test_undo_of_some_leaves_the_others(world: World, saga: Saga, step: Step, fleet: bool) -> None:
    bench = Bench(world, saga, step, fleet=fleet)
    bench.do()
    first, *others = bench.members

    bench.undo(members=[first])

    left = {key.split(":")[0] for key in world.book.standing() if f":{step.name}:" in key}
    left |= {row[0] for row in world.rows("SELECT order_id FROM fleet_pool WHERE state = 'pooled'")}
    left |= {
        row[0]
        for row in world.rows("SELECT order_id FROM capacity_holds WHERE released_at IS NULL")
        if step.name == "reserve-capacity"
    }
    assert left == {member.order_id for member in others}
