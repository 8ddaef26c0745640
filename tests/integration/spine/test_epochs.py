"""Carriers that are doubled, late, overtaken or lost: one of them leads a cohort, and somebody always does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fake_providers import Mood
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from together import at_once
from world import STAGES, STEPS, Message, World, links

from app.runs import cohorts, executions
from app.runs.cohorts import Claimed
from app.runs.model import LostCohort, StepPassed
from sagas.fulfill_order import FULFILL_ORDER

EVERY_STEP = [step.name for step in FULFILL_ORDER.steps]
PARALLEL = "reserve-capacity", "authorize-payment"


def run(world: World, claimed: Claimed, step: str, *, epoch: int = 1) -> bool:
    return world.engine.run_stretch(claimed.id, epoch, [(STAGES[step], (STEPS[step],))])


def begin(world: World, claimed: Claimed, step: str, *, epoch: int = 1, executor: str = "dead") -> None:
    """Begin a step as an executor that then dies."""
    with world.db.begin() as connection:
        executions.begin(
            connection,
            cohort_id=claimed.id,
            epoch=epoch,
            stage=STAGES[step],
            step=STEPS[step],
            executor=executor,
        )


def resent(world: World) -> tuple[Claimed, int]:
    (found,) = world.carrier.sent
    world.carrier.sent.clear()
    return found


def test_every_message_delivered_twice_changes_nothing(world: World) -> None:
    (order,) = world.accept()
    for stage in links(world.claim_one()):
        for message in stage:
            message.deliver(world.engine)
            after_one = world.everything()

            message.deliver(world.engine)

            assert world.everything() == after_one
    assert world.statuses() == {order: "CONFIRMED"}
    assert len(world.book.effects) == len(world.book.standing()) == 4


def test_a_message_delivered_again_lets_its_chain_go_on(world: World) -> None:
    world.accept()
    stages = list(links(world.claim_one()))
    for stage in stages:
        for message in stage:
            message.deliver(world.engine)
        doubled = [message.deliver(world.engine) for message in stage]
        assert all(doubled) == (stage is not stages[-1])  # after the end there is nothing to go on to


def test_messages_out_of_order_change_nothing(world: World) -> None:
    world.accept()
    stages = list(links(world.claim_one()))
    before = world.everything()

    went_on = [message.deliver(world.engine) for stage in stages[1:] for message in stage]

    assert went_on == [False] * len(went_on)
    assert world.everything() == before
    assert world.book.effects == []


def test_a_join_waits_for_all_branches(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=PARALLEL[0])
    run(world, claimed, PARALLEL[0])
    before = world.everything()

    assert not world.engine.join(claimed.id, 1, STAGES[PARALLEL[0]])
    assert world.everything() == before


def test_a_branch_moves_nobody_before_the_join(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=PARALLEL[0])
    before = world.rows("SELECT * FROM runs"), world.rows("SELECT * FROM cohorts")

    for branch in PARALLEL:
        assert run(world, claimed, branch)

    assert (world.rows("SELECT * FROM runs"), world.rows("SELECT * FROM cohorts")) == before


@pytest.mark.parametrize("step", EVERY_STEP)
def test_messages_of_an_old_epoch_change_nothing(world: World, step: str) -> None:
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=step)
    world.sql("UPDATE cohorts SET epoch = 2")
    before, effects = world.everything(), list(world.book.effects)

    went_on = [message.deliver(world.engine) for stage in links(claimed) for message in stage]

    assert not any(went_on)
    assert world.everything() == before
    assert world.book.effects == effects


@pytest.mark.parametrize("step", EVERY_STEP)
def test_a_step_cannot_be_begun_before_its_stage(world: World, step: str) -> None:
    world.accept()
    claimed = world.claim_one()
    later = EVERY_STEP[EVERY_STEP.index(step) + 1 :]
    world.walk(claimed, until=step)

    for other in later:
        if STAGES[other] != STAGES[step]:
            with pytest.raises(LostCohort):
                begin(world, claimed, other)


def test_a_passed_step_says_so(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until="plan-fulfilment")

    for step in ("validate-order", *PARALLEL):
        with pytest.raises(StepPassed):
            begin(world, claimed, step)


def test_a_running_step_is_not_begun_twice_in_one_epoch(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    begin(world, claimed, "validate-order")

    assert not run(world, claimed, "validate-order")


@pytest.mark.parametrize("step", EVERY_STEP)
def test_an_executor_that_dies_is_succeeded_when_its_lease_is_over(world: World, step: str) -> None:
    orders = world.accept(3)
    claimed = world.claim_one()
    world.walk(claimed, until=step)
    begin(world, claimed, step)
    while_alive = world.engine.sweep()
    world.expire_leases()

    swept = world.engine.sweep()
    again, leg = resent(world)
    world.walk(again, leg)

    assert (while_alive, swept) == (0, 1)
    assert (again.id, again.epoch, leg) == (claimed.id, 2, STAGES[step])
    assert world.statuses() == dict.fromkeys(orders, "CONFIRMED")
    assert len(world.book.effects) == 4 * 3


@pytest.mark.parametrize("step", [step.name for step in FULFILL_ORDER.steps if step.compensation])
def test_an_executor_that_dies_while_undoing_is_succeeded(world: World, step: str) -> None:
    world.accept()
    claimed = world.claim_one()
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE)
    world.walk(claimed)
    undoing = world.claim_one()
    stage = FULFILL_ORDER.backward.index((STEPS[step],))
    world.walk(undoing, until=step)
    with world.db.begin() as connection:
        executions.begin(
            connection, cohort_id=undoing.id, epoch=1, stage=stage, step=STEPS[step], executor="dead"
        )
    world.expire_leases()

    world.engine.sweep()
    world.walk(*resent(world))

    assert set(world.statuses().values()) == {"FAILED"}
    assert world.standing() == []
    assert world.held_places() == 0


def test_an_overtaken_executor_writes_nothing(world: World) -> None:
    (order,) = world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until="place-with-restaurant")
    left: list[object] = []

    def overtake() -> None:
        world.expire_leases()
        world.engine.sweep()
        world.walk(*resent(world))
        left.append(world.everything())

    world.kitchens.meanwhile("after do", overtake)

    assert not run(world, claimed, "place-with-restaurant")
    assert left == [world.everything()]
    assert world.statuses() == {order: "CONFIRMED"}


def test_an_emptied_broker_is_noticed_at_once(world: World) -> None:
    (order,) = world.accept()
    world.engine.claim()
    untouched = world.engine.sweep()
    world.carrier.empty()

    swept = world.engine.sweep()
    world.walk_sent()

    assert (untouched, swept) == (0, 1)
    assert world.statuses() == {order: "CONFIRMED"}


def test_an_emptied_broker_does_not_disturb_a_step_that_runs(world: World) -> None:
    world.accept()
    begin(world, world.claim_one(), "validate-order")
    world.carrier.empty()

    assert world.engine.sweep() == 0


def test_what_a_broker_refused_is_sent_when_it_is_back(world: World) -> None:
    (order,) = world.accept()
    world.carrier.away = True
    world.engine.claim()
    too_early = world.engine.sweep()
    world.carrier.away = False
    world.age()

    world.engine.sweep()
    world.walk_sent()

    assert too_early == 0
    assert world.statuses() == {order: "CONFIRMED"}


def test_what_a_broker_refused_again_is_sent_when_it_is_back(world: World) -> None:
    world.accept()
    world.engine.claim()
    world.carrier.empty()
    world.carrier.away = True
    world.engine.sweep()
    world.carrier.away = False
    world.sql("UPDATE cohorts SET progressed_at = now() - interval '2 s'")

    assert world.engine.sweep() == 1


def test_a_sweep_that_dies_before_it_has_sent_is_succeeded_by_the_next(world: World) -> None:
    world.accept()
    begin(world, world.claim_one(), "validate-order")
    world.expire_leases()
    with world.db.begin() as connection:
        cohorts.adopt_lost(connection, incarnation=world.carrier.incarnation())
    world.sql("UPDATE cohorts SET progressed_at = now() - interval '2 s'")

    assert world.engine.sweep() == 1


def test_a_carrier_that_is_given_up_before_its_sender_has_noted_it_stays_given_up(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    incarnation = world.carrier.incarnation()
    with world.db.begin() as connection:
        cohorts.forget_carrier(connection, claimed.id, epoch=claimed.epoch, steps=())
        cohorts.mark_sent(connection, claimed.id, epoch=claimed.epoch, incarnation=incarnation)

    assert world.engine.sweep() == 1


def test_a_message_lost_by_a_living_broker_is_sent_again_after_long_enough(world: World) -> None:
    world.accept()
    world.claim_one()
    world.sql("UPDATE cohorts SET progressed_at = now() - interval '29 s'")
    early = world.engine.sweep()
    world.sql("UPDATE cohorts SET progressed_at = now() - interval '31 s'")

    assert (early, world.engine.sweep()) == (0, 1)


def test_a_join_that_was_never_sent_is_missed_within_seconds(world: World) -> None:
    (order,) = world.accept()
    claimed = world.claim_one()
    run(world, claimed, "validate-order")
    longer_ago(world, 20)
    branches = []
    for step in PARALLEL:
        branches.append(world.engine.sweep())
        run(world, claimed, step)
    longer_ago(world, 2)
    early = world.engine.sweep()
    longer_ago(world, 2)
    found, again = world.engine.sweep(), world.engine.sweep()

    world.walk_sent()

    assert (branches, early, found, again) == ([0, 0], 0, 1, 0)
    assert world.statuses() == {order: "CONFIRMED"}
    assert len(world.book.effects) == 4


@pytest.fixture
def before_a_join(world: World) -> Claimed:
    """A cohort whose branches are finished, and that nobody moves."""
    world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=PARALLEL[0])
    for step in PARALLEL:
        run(world, claimed, step)
    return claimed


def test_a_join_that_is_not_heard_of_again_is_awaited_twice_as_long(
    world: World, before_a_join: Claimed
) -> None:
    swept = []
    for seconds in (4, 4, 3, 7, 6):
        longer_ago(world, seconds)
        swept.append(world.engine.sweep())

    assert swept == [1, 0, 1, 0, 1]


def test_a_join_of_countless_epochs_is_missed_all_the_same(world: World, before_a_join: Claimed) -> None:
    world.sql("UPDATE cohorts SET epoch = 2000000000")

    longer_ago(world, 31)

    assert world.engine.sweep() == 1


def longer_ago(world: World, seconds: float) -> None:
    """Let time pass for whoever moves a cohort."""
    for column, table in (("progressed_at", "cohorts"), ("finished_at", "executions")):
        world.sql(f"UPDATE {table} SET {column} = {column} - make_interval(secs => :s)", s=seconds)


@pytest.mark.parametrize(("started_s_ago", "swept"), [(1, 0), (11, 1)])
def test_where_others_wait_long_for_their_first_step_more_patience_is_had_as_long_as_they_do(
    world: World, started_s_ago: int, swept: int
) -> None:
    world.accept()
    begin(world, world.claim_one(), "validate-order")
    world.sql(
        "UPDATE executions SET started_at = clock_timestamp() - make_interval(secs => :ago)",
        ago=started_s_ago,
    )
    world.sql("UPDATE cohorts SET created_at = (SELECT started_at FROM executions) - interval '5 s'")
    world.accept()
    lost = world.claim_one()
    world.sql("UPDATE cohorts SET progressed_at = now() - interval '31 s' WHERE id = :id", id=lost.id)

    assert world.engine.sweep() == swept


def test_a_resent_cohort_is_not_sent_again_at_once(world: World) -> None:
    world.accept()
    world.engine.claim()
    world.carrier.empty()

    assert [world.engine.sweep() for _ in range(3)] == [1, 0, 0]


def test_two_sweeps_at_once_resend_a_cohort_once(world: World) -> None:
    world.accept()
    begin(world, world.claim_one(), "validate-order")
    world.expire_leases()

    swept = at_once(world.engine.sweep, 4)

    assert sorted(swept) == [0, 0, 0, 1]
    assert world.one("SELECT epoch FROM cohorts") == 2


@pytest.mark.parametrize("step", EVERY_STEP)
def test_an_answer_to_commit_that_is_lost_does_not_lose_or_double_the_step(world: World, step: str) -> None:
    (order,) = world.accept()
    claimed = world.claim_one()
    world.walk(claimed, until=step)

    with commit_answers_lost(world, "UPDATE executions SET finished_at"):
        went_on = run(world, claimed, step)
    for stage in list(links(claimed))[STAGES[step] :]:
        for message in stage:
            message.deliver(world.engine)

    assert went_on
    assert world.statuses() == {order: "CONFIRMED"}
    assert len(world.book.effects) == 4
    assert world.taken_slots() == 0


@pytest.mark.parametrize(
    "at", ["INSERT INTO executions", "SELECT step FROM executions"], ids=["begin", "join"]
)
def test_an_answer_that_is_lost_at_begin_or_join_is_survived(world: World, at: str) -> None:
    (order,) = world.accept()

    with commit_answers_lost(world, at):
        world.settle()

    assert world.statuses() == {order: "CONFIRMED"}
    assert len(world.book.effects) == 4


def test_the_same_step_by_many_executors_at_once_is_done_by_one(world: World) -> None:
    world.accept()
    claimed = world.claim_one()

    went_on = at_once(lambda: Message(claimed.id, 1, 0, 0).deliver(world.engine), 6)

    assert any(went_on)
    assert world.one("SELECT count(*) FROM executions") == 1
    assert world.one("SELECT starts FROM executions") == 1


def test_the_heartbeat_keeps_a_lease_and_nothing_else_does(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    begin(world, claimed, "validate-order")
    world.expire_leases()

    with world.db.begin() as connection:
        executions.heartbeat(connection, [(claimed.id, STEPS["validate-order"], "another")])
    kept_by_another = world.one("SELECT lease_until > now() FROM executions")
    with world.db.begin() as connection:
        executions.heartbeat(connection, [(claimed.id, STEPS["validate-order"], "dead")])

    assert not kept_by_another
    assert world.one("SELECT lease_until > now() FROM executions")


@contextmanager
def commit_answers_lost(world: World, *after: str) -> Iterator[None]:
    """Each first transaction with such a statement is committed, but whoever committed it is told otherwise."""
    left = list(after)
    noted: dict[int, str] = {}

    def note(connection: Connection, _: object, statement: str, *__: object) -> None:
        for part in after:
            if part in statement:
                noted[id(connection)] = part

    def lose(connection: Connection) -> None:
        part = noted.pop(id(connection), None)
        if part in left:
            left.remove(part)
            connection.connection.dbapi_connection.commit()
            raise OperationalError("COMMIT", {}, ConnectionError("the answer was lost"))

    event.listen(world.db, "before_cursor_execute", note)
    event.listen(world.db, "commit", lose)
    try:
        yield
    finally:
        event.remove(world.db, "before_cursor_execute", note)
        event.remove(world.db, "commit", lose)
    assert left == []


@pytest.mark.parametrize("begun", [True, False])
def test_a_cohort_whose_executor_is_known_to_be_dead_is_sent_again_at_once(world: World, begun: bool) -> None:
    (order,) = world.accept()
    claimed = world.claim_one()
    if begun:
        begin(world, claimed, "validate-order")

    world.engine.carrier_died(claimed.id, claimed.epoch, [STEPS["validate-order"]])

    again, leg = resent(world)
    assert (again.id, again.epoch, leg) == (claimed.id, claimed.epoch + 1, 0)
    for stage in links(again):
        for message in stage:
            message.deliver(world.engine)
    assert world.statuses() == {order: "CONFIRMED"}


def test_what_the_children_of_a_dead_worker_executed_is_sent_again_by_the_next_sweep(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    begin(world, claimed, "validate-order", executor=executions.new_executor())
    world.engine.sweep()
    assert world.carrier.sent == []

    with world.db.begin() as connection:
        executions.bury(connection, os.getppid())
    world.engine.sweep()

    assert resent(world)[0].epoch == claimed.epoch + 1


def test_the_children_of_another_worker_go_on(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    begin(world, claimed, "validate-order", executor=executions.new_executor())

    with world.db.begin() as connection:
        executions.bury(connection, os.getppid() // 10)
    world.engine.sweep()

    assert world.carrier.sent == []


def test_news_of_a_death_in_an_earlier_epoch_changes_nothing(world: World) -> None:
    world.accept()
    claimed = world.claim_one()
    begin(world, claimed, "validate-order", epoch=claimed.epoch)
    before = world.everything()

    world.engine.carrier_died(claimed.id, claimed.epoch - 1, [STEPS["validate-order"]])

    assert world.everything() == before
    assert world.carrier.sent == []
