"""Acceptance: one key, one order, whoever races, whatever is in the batch, wherever the connection breaks."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import psycopg2
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy import Engine as Database
from sqlalchemy.exc import OperationalError
from together import all_at_once
from world import START, QuietDoorbell, World, document, submission

from app.crash_points import Point
from app.doorbell import Bell
from app.orders import accept, group_commit
from app.orders.accept import Answer
from app.orders.document import Window
from app.orders.group_commit import CannotAccept, GroupCommit
from app.orders.model import LEAD, Accepted, ExternalIdTaken, InFlight, KeyReused, NewOrder

BOUND_S = 60


@pytest.fixture
def commits(db: Database) -> list[GroupCommit]:
    """Two processes' worth of group commits on one database."""
    return [GroupCommit(db, QuietDoorbell(), START) for _ in range(2)]


def accepted(db: Database, *batch: NewOrder) -> list[Answer]:
    with db.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '5 s'"))  # to wait is to fail
        return accept.accept(connection, batch, START)


def orders(db: Database) -> int:
    with db.begin() as connection:
        return int(connection.execute(text("SELECT count(*) FROM uoop_orders")).scalar_one())


def test_an_acceptance_is_order_run_key_and_event_in_one(world: World) -> None:
    (order,) = world.submit([submission("key", external_order_id="theirs")])

    assert world.rows(
        "SELECT o.status, r.state, r.lane, k.key, x.external_order_id, e.type, e.sequence FROM uoop_orders o "
        "JOIN runs r ON r.id = o.run_id AND r.order_id = o.id JOIN idempotency_keys k ON k.order_id = o.id "
        "JOIN external_order_ids x ON x.order_id = o.id JOIN outbox_in e ON e.order_id = o.id WHERE o.id = :id",
        id=order,
    ) == [("PENDING", "w", "front", "key", "theirs", "order.accepted", 1)]


def test_an_order_for_later_starts_at_once_and_has_its_time_from_its_release_on(world: World) -> None:
    start = datetime.now(UTC) + timedelta(hours=5)
    world.submit([submission(requested_window=Window(start=start, until=start + timedelta(hours=1)))])

    ((saga, is_due, not_after),) = world.rows("SELECT saga, due_at <= now(), not_after FROM runs")

    assert (saga, is_due) == ("fulfill-scheduled-order", True)
    assert not_after == start - LEAD + timedelta(seconds=900)


def test_a_window_with_any_offset_is_stored(world: World) -> None:
    zone = timezone(timedelta(hours=23, minutes=59))
    start = (datetime.now(UTC) + timedelta(hours=3)).astimezone(zone)

    world.submit([submission(requested_window=Window(start=start, until=start + timedelta(hours=1)))])

    assert world.one("SELECT window_from FROM uoop_orders") == start


def test_racing_submissions_of_one_key_give_one_order(world: World, commits: Sequence[GroupCommit]) -> None:
    """Some of them are replays at once, and some have to come again, as they are told."""

    def one(n: int) -> Accepted | Exception:
        return outcome(commits[n % 2].submit(submission("the key", external_order_id="theirs")))

    raced = all_at_once([lambda n=n: one(n) for n in range(64)])
    answers = [one(n) if isinstance(answer, InFlight) else answer for n, answer in enumerate(raced)]

    told = [answer for answer in answers if isinstance(answer, Accepted)]
    assert Counter(answer.replayed for answer in told) == {False: 1, True: 63}
    assert len({(answer.order_id, answer.created_at) for answer in told}) == 1
    assert orders(world.db) == 1


def test_a_replay_answers_as_the_first_time(db: Database) -> None:
    (first,) = accepted(db, submission("key"))

    (again,) = accepted(db, submission("key"))

    assert isinstance(first, Accepted)
    assert again == replace(first, replayed=True)


@pytest.mark.parametrize("apart", [False, True], ids=["in one batch", "in two batches"])
def test_a_key_with_another_payload_is_refused(db: Database, apart: bool) -> None:
    one, other = submission("key"), submission("key", fingerprint="another")

    answers = accepted(db, one) + accepted(db, other) if apart else accepted(db, one, other)

    assert isinstance(answers[0], Accepted)
    assert isinstance(answers[1], KeyReused)
    assert orders(db) == 1


def test_equal_keys_in_a_batch_are_one_order(db: Database) -> None:
    answers = accepted(db, *[submission("key")] * 3, submission("another"))

    ids = [answer.order_id for answer in answers if isinstance(answer, Accepted)]
    assert ids == [ids[0]] * 3 + [ids[3]]
    assert [answer.replayed for answer in answers if isinstance(answer, Accepted)] == [
        False,
        True,
        True,
        False,
    ]
    assert orders(db) == 2


@pytest.mark.parametrize("apart", [False, True], ids=["in one batch", "in two batches"])
def test_an_external_id_is_one_orders(db: Database, apart: bool) -> None:
    one, other = submission(external_order_id="theirs"), submission(external_order_id="theirs")

    answers = accepted(db, one) + accepted(db, other) if apart else accepted(db, one, other)

    assert isinstance(answers[0], Accepted)
    assert isinstance(answers[1], ExternalIdTaken)
    assert answers[1].order_id == answers[0].order_id
    assert orders(db) == 1


def test_whoever_wants_a_refused_ones_name_in_the_same_batch_shall_come_again(db: Database) -> None:
    accepted(db, submission(external_order_id="theirs"))
    refused, other = submission("key", external_order_id="theirs"), submission("key")

    answers = accepted(db, refused, other)

    assert [type(answer) for answer in answers] == [ExternalIdTaken, InFlight]
    assert isinstance(accepted(db, other)[0], Accepted)


def test_the_key_of_a_taken_external_id_stays_free(db: Database) -> None:
    accepted(db, submission(external_order_id="theirs"))
    accepted(db, submission("key", external_order_id="theirs"))

    (answer,) = accepted(db, submission("key", external_order_id="ours"))

    assert isinstance(answer, Accepted)
    assert not answer.replayed


def test_keys_and_external_ids_are_each_tenants_own(world: World) -> None:
    world.sql("INSERT INTO tenants (id, name) VALUES ('another', 'Another')")
    mine = submission("key", external_order_id="theirs")

    answers = accepted(world.db, mine, replace(mine, tenant_id="another"))

    assert [isinstance(answer, Accepted) and not answer.replayed for answer in answers] == [True, True]


def test_a_key_is_found_in_an_older_partition(world: World) -> None:
    world.sql(
        "CREATE TABLE keys_of_old PARTITION OF idempotency_keys FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')"
    )
    try:
        world.sql(
            "INSERT INTO idempotency_keys VALUES ('default', 'key', 'same', 'order-of-old', '2020-01-15'),"
            "('default', 'other', 'another payload', 'order-of-old', '2020-01-15')"
        )

        replay, reused = accepted(world.db, submission("key"), submission("other"))
    finally:
        world.sql("DROP TABLE keys_of_old")

    assert replay == Accepted("order-of-old", datetime(2020, 1, 15, tzinfo=UTC), replayed=True)
    assert isinstance(reused, KeyReused)
    assert orders(world.db) == 0


def test_an_order_that_cannot_be_stored_spoils_no_other(db: Database) -> None:
    gate = threading.Event()
    commit = GroupCommit(db, GateDoorbell(gate), START)
    first = commit.submit(submission())  # while its bell is rung, the others gather into one group
    spoiled = submission()
    spoiled = replace(spoiled, order=document(total_amount="not a number"))
    batch = [submission() for _ in range(5)]
    futures = [commit.submit(new) for new in (*batch[:3], spoiled, *batch[3:])]
    gate.set()

    told = [outcome(future) for future in (first, *futures)]

    assert [type(answer) for answer in told] == [Accepted] * 4 + [CannotAccept] + [Accepted] * 2
    assert orders(db) == 6


def test_after_a_group_of_several_whoever_comes_waits_for_others(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, waits, others_came = threading.Event(), threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        if seconds > 0:
            waits.set()
            others_came.wait(BOUND_S)

    monkeypatch.setattr(group_commit, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    commit = GroupCommit(db, GateDoorbell(gate), START, pace_s=BOUND_S)
    futures = [commit.submit(submission())]  # while its bell is rung, the others gather into one group
    futures += [commit.submit(submission()) for _ in range(3)]
    gate.set()
    for future in futures:
        future.result(BOUND_S)

    one = commit.submit(submission())
    one.add_done_callback(lambda _: waits.set())
    waits.wait(BOUND_S)
    other = commit.submit(submission())
    others_came.set()

    assert one.result(BOUND_S).created_at == other.result(BOUND_S).created_at


def test_a_full_group_waits_for_nobody(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, waited = threading.Event(), list[float]()
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=waited.append)
    monkeypatch.setattr(group_commit, "time", clock)
    commit = GroupCommit(db, GateDoorbell(gate), START, max_batch=2, pace_s=BOUND_S)
    futures = [commit.submit(submission())]
    while orders(db) < 1:
        pass
    futures += [commit.submit(submission()) for _ in range(4)]  # while the bell of the first is rung
    gate.set()

    for future in futures:
        future.result(BOUND_S)

    assert sum(waited) == 0


def test_beside_a_full_group_another_is_committed(db: Database) -> None:
    first, gate = threading.Event(), threading.Event()
    commit = GroupCommit(db, GateDoorbell(first, first, gate), START, max_batch=2, pace_s=0)
    futures = [commit.submit(submission())]
    while orders(db) < 1:
        pass
    futures += [commit.submit(submission()) for _ in range(4)]  # while the bell of the first is rung

    first.set()
    until = time.monotonic() + BOUND_S
    while orders(db) < 5 and time.monotonic() < until:
        pass
    committed = orders(db)
    gate.set()

    assert committed == 5
    assert [type(future.result(BOUND_S)) for future in futures] == [Accepted] * 5


class GateDoorbell:
    """Keeps whoever rings waiting until his gate is open; the last is that of all who come later."""

    def __init__(self, *gates: threading.Event) -> None:
        self._gates = list(gates)

    def ring(self, bell: Bell) -> None:
        gate = self._gates.pop(0) if len(self._gates) > 1 else self._gates[0]
        gate.wait(BOUND_S)


def test_batches_with_crossing_keys_do_not_deadlock(db: Database) -> None:
    keys = [f"key-{n}" for n in range(30)]

    def work(order: int) -> Callable[[], list[Answer]]:
        batch = [submission(key, external_order_id=f"external-{key}") for key in keys[::order]]
        return lambda: accepted(db, *batch)

    answers = all_at_once([work(1), work(-1)] * 3)

    assert orders(db) == 30
    new = [a for told in answers for a in told if isinstance(a, Accepted) and not a.replayed]
    assert len(new) == 30


@contextmanager
def locked(db: Database, name: str) -> Iterator[None]:
    """Keep a name's lock as another acceptance would."""
    with db.connect() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
        yield


def in_flight(answers: Sequence[object]) -> list[bool]:
    return [isinstance(answer, InFlight) for answer in answers]


SAME_NAME = {
    "the key": (submission("key"), submission("key")),
    "the external id": (submission(external_order_id="theirs"), submission(external_order_id="theirs")),
}


@pytest.mark.parametrize(("first", "second"), SAME_NAME.values(), ids=SAME_NAME.keys())
def test_while_the_first_is_under_way_the_second_is_told_so_and_no_other(
    db: Database, first: NewOrder, second: NewOrder
) -> None:
    with db.begin() as connection:
        accept.accept(connection, [first], START)

        answers = accepted(db, submission(), second, submission())

    assert in_flight(answers) == [False, True, False]
    assert [isinstance(answer, Accepted) for answer in answers] == [True, False, True]
    assert orders(db) == 3


def test_who_comes_again_after_the_commit_is_the_replay(db: Database) -> None:
    with db.begin() as connection:
        (first,) = accept.accept(connection, [submission("key")], START)
        assert in_flight(accepted(db, submission("key"))) == [True]

    (again,) = accepted(db, submission("key"))

    assert isinstance(first, Accepted)
    assert again == replace(first, replayed=True)


def test_who_comes_again_after_a_rollback_is_accepted(db: Database) -> None:
    with db.connect() as connection:
        accept.accept(connection, [submission("key")], START)
        assert in_flight(accepted(db, submission("key"))) == [True]
        connection.rollback()

    (again,) = accepted(db, submission("key"))

    assert isinstance(again, Accepted)
    assert not again.replayed


def test_a_committed_key_is_replayed_while_another_asks_for_it(db: Database) -> None:
    accepted(db, submission("key"))

    with locked(db, "key default key"):
        (answer,) = accepted(db, submission("key"))

    assert isinstance(answer, Accepted)
    assert answer.replayed


def test_who_does_not_get_its_key_takes_no_external_id(db: Database) -> None:
    """Else two who want the same names could each have one of them, and neither be accepted."""
    with locked(db, "key default key"), db.begin() as connection:
        told = accept.accept(connection, [submission("key", external_order_id="theirs")], START)
        (other,) = accepted(db, submission(external_order_id="theirs"))

    assert in_flight(told) == [True]
    assert isinstance(other, Accepted)


def test_what_was_in_flight_is_told_of_its_own_batch_alone(db: Database) -> None:
    key, other = submission("key"), submission()
    with db.connect() as connection:
        told = []
        with locked(db, "key default key"):
            for batch in ([key, key], [other, key]):
                with connection.begin():
                    told.append(in_flight(accept.accept(connection, batch, START)))
        with connection.begin():
            told.append(in_flight(accept.accept(connection, [key, other], START)))

    assert told == [[True, True], [False, True], [False, False]]
    assert orders(db) == 2


def test_a_future_that_was_given_up_silences_nobody(db: Database) -> None:
    gate = threading.Event()
    commit = GroupCommit(db, GateDoorbell(gate), START)
    futures = [commit.submit(submission()) for _ in range(4)]
    futures[1].cancel()
    gate.set()

    assert [outcome(futures[n]) is not None for n in (0, 2, 3)] == [True] * 3


def test_who_was_not_answered_by_a_process_that_died_finds_the_order_by_his_key(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = threading.Event()

    def die(_: Point) -> None:
        died.set()
        threading.Event().wait()  # its only committing thread: nobody of the group is ever answered

    monkeypatch.setattr(group_commit.crash_points, "reach", die)
    unanswered = GroupCommit(db, QuietDoorbell(), START).submit(submission("key"))
    assert died.wait(BOUND_S)
    monkeypatch.undo()

    again = GroupCommit(db, QuietDoorbell(), START).submit(submission("key")).result(BOUND_S)

    assert again.replayed
    assert not unanswered.done()
    assert orders(db) == 1


# A connection breaks at some moment of a commit; whoever asked sends the same again, as clients do.
MOMENTS = ["before the batch", "on the way to the commit", "after the commit"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_connection_that_is_killed_gives_one_order(db: Database, moment: str) -> None:
    own = accepting_engine(db)
    commit = GroupCommit(own, QuietDoorbell(), START)
    with killed(own, db, moment, times=1):
        first = outcome(commit.submit(submission("key")))

    again = outcome(commit.submit(submission("key")))
    own.dispose()

    assert isinstance(first, Accepted | CannotAccept)
    assert isinstance(again, Accepted)
    assert isinstance(first, CannotAccept) or first.order_id == again.order_id
    assert orders(db) == 1


@pytest.mark.parametrize("moment", MOMENTS)
def test_connections_killed_again_and_again_never_give_two_orders(db: Database, moment: str) -> None:
    own = accepting_engine(db)
    commit = GroupCommit(own, QuietDoorbell(), START)
    with killed(own, db, moment, times=5):
        told = [outcome(commit.submit(submission(f"key-{n % 2}"))) for n in range(8)]
    told += [outcome(commit.submit(submission(f"key-{n}"))) for n in range(2)]
    own.dispose()

    ids = {answer.order_id for answer in told if isinstance(answer, Accepted)}
    assert len(ids) == orders(db) == 2


def test_sessions_that_are_ended_all_the_time_are_all_replaced(db: Database) -> None:
    own, over = accepting_engine(db), threading.Event()
    commit = GroupCommit(own, QuietDoorbell(), START, pace_s=0)
    killing = threading.Thread(target=end_all_sessions, args=(db, over))
    killing.start()
    try:
        told = [outcome(commit.submit(submission())) for _ in range(300)]
    finally:
        over.set()
        killing.join()
        db.dispose()  # its sessions have ended too

    assert {type(answer) for answer in told} == {Accepted, CannotAccept}
    assert isinstance(outcome(commit.submit(submission())), Accepted)
    assert own.pool.checkedout() == 0  # type: ignore[attr-defined]


def end_all_sessions(db: Database, over: threading.Event) -> None:
    ending = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'uoop' AND pid <> pg_backend_pid()"
    )
    with db.connect() as connection:
        while not over.wait(0.01):
            connection.execute(ending)
            connection.rollback()


def accepting_engine(db: Database) -> Database:
    """One of its own, as the API has it."""
    return accept.engine(db.url.render_as_string(hide_password=False), pool_size=1)


def end_in_the_midst(blocker: Connection, pid: int) -> None:
    """End the session once it waits for the table that the blocker has locked."""
    waits = text("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = :pid")
    with blocker:
        end = time.monotonic() + BOUND_S
        while not blocker.execute(waits, {"pid": pid}).scalar() and time.monotonic() < end:
            blocker.execute(text("SELECT pg_stat_clear_snapshot()"))
        blocker.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


@contextmanager
def killed(own: Database, db: Database, moment: str, *, times: int) -> Iterator[None]:
    """The session is ended by the server; after the commit, its answer is lost as well."""
    left = times

    def kill(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        nonlocal left
        if left == 0 or "accept_orders" not in statement or "PREPARE" in statement:
            return
        left -= 1
        pid = connection.connection.dbapi_connection.info.backend_pid
        if moment == "on the way to the commit":
            blocker = db.connect()
            blocker.execute(text("LOCK TABLE outbox_in IN SHARE MODE"))
            threading.Thread(target=end_in_the_midst, args=(blocker, pid)).start()
            return
        with db.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        if moment == "after the commit":
            raise OperationalError(statement, {}, psycopg2.OperationalError("the answer is lost"))

    name = "after_cursor_execute" if moment == "after the commit" else "before_cursor_execute"
    event.listen(own, name, kill)
    try:
        yield
    finally:
        event.remove(own, name, kill)


def outcome(future: "Future[Accepted]") -> Accepted | Exception:
    with suppress(psycopg2.Error):
        return future.exception(BOUND_S) or future.result()
    raise AssertionError("a driver's error came through")


def test_bells_are_rung_after_the_commit(db: Database) -> None:
    bell = QuietDoorbell()
    GroupCommit(db, bell, START).submit(submission()).result(BOUND_S)

    assert bell.rung == [Bell.CLAIM, Bell.RELAY]
