"""Beat asks what waits before it calls anybody."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from sqlalchemy import Engine as Database
from sqlalchemy import text
from test_pauses import pause
from world import World

from app import database
from app.outbox import sequencer
from app.runs.pauses import Kind
from app.waiting_work import ANSWER_S, APPLY_REPORTS, CLAIM, JOBS, RELAY, SWEEP, ask, waiting

WITHIN_S = 15.0  # half of what a statement is given otherwise


def work(world: World) -> frozenset[str]:
    with world.db.begin() as connection:
        return waiting(connection, sinks=["stream"])


def test_an_idle_platform_has_none(world: World) -> None:
    assert work(world) == frozenset()


def test_an_order_on_its_way_through(world: World) -> None:
    world.accept()
    accepted = work(world)
    claimed = world.claim_one()
    with world.db.begin() as connection:
        sequencer.sequence(connection)
    world.sql("INSERT INTO sinks (name, day, pos) SELECT 'stream', day, pos FROM outbox_sequencer")
    travelling = work(world)
    world.walk(claimed)

    assert (accepted, travelling, work(world)) == ({CLAIM, RELAY}, {SWEEP}, {RELAY})


def test_a_sink_that_lacks_events_needs_the_relay(world: World) -> None:
    world.accept()
    with world.db.begin() as connection:
        sequencer.sequence(connection)
    world.sql("DELETE FROM runs")
    world.sql("INSERT INTO sinks (name, day) VALUES ('stream', '-infinity')")

    assert work(world) == {RELAY}


def test_a_sink_that_is_not_in_use_any_more_needs_nobody(world: World) -> None:
    world.accept()
    with world.db.begin() as connection:
        sequencer.sequence(connection)
    world.sql("DELETE FROM runs")
    world.sql("INSERT INTO sinks (name, day) VALUES ('former', '-infinity')")

    assert work(world) == frozenset()


def test_what_is_not_due_yet_is_not_claimed(world: World) -> None:
    world.accept()
    world.sql("UPDATE runs SET due_at = now() + interval '1 min'")

    assert CLAIM not in work(world)


def test_a_pause_and_what_it_left_behind_need_the_sweep(world: World) -> None:
    pause(world, Kind.STEP, "validate-order")
    paused = work(world)
    world.accept()
    world.walk(world.claim_one())
    world.sql("DELETE FROM pauses")

    assert SWEEP in paused
    assert SWEEP in work(world)


def test_a_report_is_applied(world: World) -> None:
    world.sql(
        "INSERT INTO delivery_reports (reporter, by, event_id, order_id, what, at) "
        "VALUES ('partner', 'swift', 'e', 'o', 'PICKED_UP', :at)",
        at=datetime.now(UTC),
    )

    assert work(world) == {APPLY_REPORTS}


def test_while_the_database_hangs_all_jobs_are_taken_to_be_wanted(db: Database) -> None:
    url = db.url.render_as_string(hide_password=False)
    asking = database.engine(url, pool_size=1, patience_s=ANSWER_S)

    with db.begin() as connection, ThreadPoolExecutor() as beside:
        connection.execute(text("LOCK TABLE slots"))
        told = beside.submit(ask, asking, sinks=["stream"]).result(WITHIN_S)

    assert told == JOBS
    assert ask(asking, sinks=["stream"]) == frozenset()
    asking.dispose()
