"""What has gone through the outbox leaves nothing behind but the days that are kept."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text

from app import partitions
from benchmarks.outbox_bloat import LOG, Days, has_grown

EVENTS = 3_000
KEPT = 8  # today and seven days


@pytest.fixture
def days(db: Database) -> Iterator[Days]:
    made = Days(db)
    yield made
    with db.begin() as connection:  # other tests share the database, and live today
        connection.execute(text("UPDATE outbox_sequencer SET day = current_date"))
        for name in partitions_of_the_log(db):
            connection.execute(text(f"DROP TABLE {name}"))
    partitions.maintain(db, now=made.began, tables=[LOG])


def partitions_of_the_log(db: Database) -> list[str]:
    with db.connect() as connection:
        found = connection.execute(
            text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox_log'::regclass")
        )
        return list(found.scalars())


def vacuumed(db: Database) -> None:
    with db.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM outbox_in, outbox_sequencer, sinks, leases"))


def test_no_table_grows_once_retention_has_begun(db: Database, days: Days) -> None:
    sizes = []
    for _ in range(KEPT + 4):
        days.go_by(EVENTS)
        vacuumed(db)
        sizes.append({name: size.bytes for name, size in days.sizes().items()})

    full, later = sizes[KEPT - 1], sizes[KEPT:]
    grown = {name for name in full if max(each[name] for each in later) > 1.1 * full[name]}
    assert grown == set()
    with db.connect() as connection:
        held = connection.execute(text("SELECT count(*) FROM outbox_log")).scalar_one()
    assert held == KEPT * EVENTS


@pytest.mark.parametrize(
    ("megabytes", "grown"), [([1, 5, 9, 9, 8, 9], False), ([1, 2, 3, 4, 5, 6], True), ([1, 1, 1, 2], False)]
)
def test_growth_is_told_from_filling(megabytes: list[int], grown: bool) -> None:
    assert has_grown([each << 20 for each in megabytes]) is grown
