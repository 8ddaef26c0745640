"""What everything else stands on: leases, partitions, migrations, the own fleet, keys, the first start."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from together import all_at_once, at_once
from world import World

from app import database, leases, migrations, partitions, time_ids
from app.fleet import queries as fleet
from app.fleet import service as pool
from app.fleet.provider import OwnFleet
from app.partitions import TABLES
from app.providers.port import Request, Verdict
from app.tenants import keys
from infra import bootstrap
from infra.settings import Settings

SOON = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def bare(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database in which nothing has been made."""
    name = f"bare_{abs(hash(request.node.nodeid)):x}"
    admin = database.engine(postgres_url, pool_size=1).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = database.engine(f"{postgres_url.rpartition('/')[0]}/{name}", pool_size=4)
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def schema(engine: Database) -> list[tuple[str, ...]]:
    with engine.begin() as connection:
        found = connection.execute(
            text(
                "SELECT 'column', table_name, column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name <> 'alembic_version' UNION ALL "
                "SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
                "AND tablename <> 'alembic_version' UNION ALL "
                "SELECT 'other', proname, '', '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL "
                "SELECT 'other', relname, '', '' FROM pg_class WHERE relkind = 'S' "
                "AND relnamespace = 'public'::regnamespace ORDER BY 1, 2, 3, 4"
            )
        )
        return [tuple(row) for row in found]


def test_migrations_go_up_down_and_up_again(bare: Database) -> None:
    migrations.upgrade(bare)
    once = schema(bare)
    migrations.downgrade(bare, "base")
    none = schema(bare)
    migrations.upgrade(bare)

    assert none == []
    assert schema(bare) == once
    assert len(once) > 100


def test_a_database_in_use_can_be_taken_down(bare: Database) -> None:
    migrations.upgrade(bare)
    partitions.maintain(bare, now=datetime.now(UTC))

    migrations.downgrade(bare, "base")

    assert schema(bare) == []


def test_many_may_migrate_at_once(bare: Database) -> None:
    at_once(lambda: migrations.upgrade(bare), 4)

    assert len(schema(bare)) > 100


def settings_of(bare: Database, home: Path, redis_url: str) -> Settings:
    url = bare.url.render_as_string(hide_password=False)
    return Settings(home=home, database_url=url, redis_url=redis_url, ledger_url=f"{redis_url}/9")  # type: ignore[arg-type]


@pytest.mark.usefixtures("client")
def test_the_first_start_may_be_made_again(bare: Database, home: Path, redis_url: str) -> None:
    settings = settings_of(bare, home, redis_url)
    bootstrap.prepare(settings)
    bootstrap.prepare(settings)

    token = (home / "api-key").read_text().strip()
    with bare.begin() as connection:
        lanes = set(connection.execute(text("SELECT name FROM lanes")).scalars())
        key = keys.find(connection, [keys.prefix(token) or ""]).get(keys.prefix(token) or "")
        count = connection.execute(text("SELECT count(*) FROM api_keys")).scalar_one()
    assert lanes == {"front", "express", "retry", "compensation"}
    assert key
    assert key.matches(token)
    assert count == 1
    assert (home / "api-key").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("client")
def test_a_version_that_lacks_a_saga_with_runs_in_flight_refuses_to_start(
    bare: Database, home: Path, redis_url: str
) -> None:
    settings = settings_of(bare, home, redis_url)
    bootstrap.prepare(settings)
    with bare.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO runs (id, order_id, tenant_id, saga, version, lane, due_at, not_after) "
                "VALUES (time_id(), 'o', 'default', 'fulfill-order', 99, 'front', now(), now())"
            )
        )

    with pytest.raises(bootstrap.UnknownSaga, match="fulfill-order version 99"):
        bootstrap.prepare(settings)


@pytest.mark.usefixtures("client")
def test_several_hosts_may_start_at_once(bare: Database, home: Path, redis_url: str) -> None:
    hosts = [settings_of(bare, home / f"host-{n}", redis_url) for n in range(3)]

    all_at_once([lambda s=s: bootstrap.prepare(s) for s in hosts])

    with bare.begin() as connection:
        prefixes = set(connection.execute(text("SELECT prefix FROM api_keys")).scalars())
    assert prefixes == {keys.prefix((settings.home / "api-key").read_text().strip()) for settings in hosts}


def test_a_lease_has_one_holder(db: Database) -> None:
    def take(holder: str) -> int | None:
        with db.begin() as connection:
            return leases.take(connection, "beat", holder=holder, for_s=60)

    fences = all_at_once([lambda n=n: take(f"holder-{n}") for n in range(8)])

    assert sorted(fence for fence in fences if fence is not None) == [1]


def test_a_lease_is_prolonged_under_its_fence_and_changes_hands_under_the_next(db: Database) -> None:
    def take(holder: str) -> int | None:
        with db.begin() as connection:
            return leases.take(connection, "beat", holder=holder, for_s=60)

    def expire() -> None:
        with db.begin() as connection:
            connection.execute(text("UPDATE leases SET expires_at = now() - interval '1 s'"))

    first, prolonged, refused = take("a"), take("a"), take("b")
    expire()
    taken = take("b")

    assert (first, prolonged, refused, taken) == (1, 1, None, 2)
    with db.begin() as connection:
        leases.check(connection, "beat", fence=2)
        with pytest.raises(leases.LeaseLost):
            leases.check(connection, "beat", fence=1)


def test_only_its_holder_releases_a_lease(db: Database) -> None:
    with db.begin() as connection:
        leases.take(connection, "beat", holder="a", for_s=60)
        leases.release(connection, "beat", holder="b")
        kept = leases.take(connection, "beat", holder="b", for_s=60)
        leases.release(connection, "beat", holder="a")

        assert kept is None
        assert leases.take(connection, "beat", holder="b", for_s=60) == 2


def days(engine: Database, table: str) -> list[str]:
    with engine.begin() as connection:
        names = connection.execute(
            text(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:t AS regclass) ORDER BY 1"
            ),
            {"t": table},
        ).scalars()
        return [name.removeprefix(f"{table}_") for name in names]


def test_a_day_whose_run_is_not_over_is_not_dropped(bare: Database) -> None:
    migrations.upgrade(bare)
    start = datetime.now(UTC)
    partitions.maintain(bare, now=start)
    with bare.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO runs (id, order_id, tenant_id, saga, version, state, lane, due_at, not_after) "
                "VALUES (time_id(), 'o', 'default', 'fulfill-order', 1, 'p', 'front', now(), now())"
            )
        )

    partitions.maintain(bare, now=start + timedelta(days=60))

    with bare.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM runs")).scalar_one() == 1


def test_partitions_are_made_ahead_and_dropped_behind(bare: Database) -> None:
    migrations.upgrade(bare)
    start = datetime.now(UTC)
    for day in range(0, 40, 3):
        partitions.maintain(bare, now=start + timedelta(days=day))

    now = start + timedelta(days=39)
    for table in TABLES:
        found = days(bare, table.table)
        oldest_kept = now - table.retention - timedelta(days=table.days)
        assert f"{oldest_kept:%Y%m%d}" <= found[0] <= f"{now - table.retention:%Y%m%d}"
        assert found[-1] <= f"{now + partitions.AHEAD:%Y%m%d}"
        assert len(found) >= (table.retention + partitions.AHEAD) / timedelta(days=table.days)


def test_idempotency_keys_are_kept_for_thirty_days() -> None:
    assert partitions.retention("idempotency_keys") >= timedelta(days=30)


def test_partitions_may_be_made_by_many_at_once(bare: Database) -> None:
    migrations.upgrade(bare)

    at_once(lambda: partitions.maintain(bare, now=datetime.now(UTC)), 4)

    assert all(days(bare, table.table) for table in TABLES)


def test_partitions_are_made_while_rows_are_written(bare: Database) -> None:
    migrations.upgrade(bare)
    start = datetime.now(UTC)
    partitions.maintain(bare, now=start)
    with bare.begin() as writing:
        for table in TABLES:
            writing.execute(text(f"LOCK TABLE {table.table} IN ROW EXCLUSIVE MODE"))

        made = partitions.maintain(bare, now=start + timedelta(days=5))

    assert {line.removeprefix("made ").rpartition("_")[0] for line in made} >= {
        table.table for table in TABLES if table.days == 1
    }


def test_a_table_that_is_locked_keeps_no_other_from_its_partitions(
    bare: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations.upgrade(bare)
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT_MS", 20)
    with bare.begin() as altering:
        altering.execute(text("LOCK TABLE runs"))

        with pytest.raises(OperationalError):
            partitions.maintain(bare, now=datetime.now(UTC))

        assert {table.table for table in TABLES if not days(bare, table.table)} == {"runs"}


def test_a_drop_that_was_broken_off_is_brought_to_its_end(
    bare: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations.upgrade(bare)
    start = datetime.now(UTC)
    partitions.maintain(bare, now=start)
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT_MS", 20)
    with bare.begin() as reading:
        reading.execute(text("SELECT count(*) FROM deliveries"))
        with pytest.raises(OperationalError):
            partitions.maintain(bare, now=start + timedelta(days=60))
    with bare.begin() as connection:
        connection.execute(text("CREATE TABLE runs_20200101 ()"))  # detached, and not dropped

    partitions.maintain(bare, now=start + timedelta(days=60))

    with bare.begin() as connection:
        named = (
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(deliveries|runs)_[0-9]{8}$'"
        )
        left = sorted(connection.execute(text(named)).scalars())
    assert left[0] >= f"deliveries_{start + timedelta(days=50):%Y%m%d}"
    assert not [name for name in left if name.endswith(f"_{start:%Y%m%d}") or "2020" in name]


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=2)], ids=["now", "in two days"])
def test_every_row_of_the_coming_days_has_its_partition(db: Database, ahead: timedelta) -> None:
    at = datetime.now(UTC) + ahead
    low = time_ids.floor(at)
    with db.begin() as connection:
        for statement in (
            "INSERT INTO runs (id, order_id, tenant_id, saga, version, lane, due_at, not_after) "
            "VALUES (:id, 'o', 'default', 's', 1, 'front', now(), now())",
            "INSERT INTO cohorts (id, saga, version, direction, lane, itinerary, members, size) "
            "VALUES (:id, 's', 1, 'f', 'front', '{0}', '{}', 0)",
            "INSERT INTO executions (cohort_id, step, epoch, executor, lease_until) VALUES (:id, 0, 1, 'x', now())",
            "INSERT INTO outcomes (run_id, cohort_id, step, verdict) VALUES (:id, :id, 0, 'd')",
            "INSERT INTO capacity_holds (run_id, order_id, slot, expires_at) VALUES (:id, 'o', 's', now())",
            "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, order_id, created_at) "
            "VALUES ('default', 'k', 'f', 'o', :at)",
            "INSERT INTO deliveries (sink, first_pos, last_pos, delivered_at) VALUES ('s', 1, 1, :at)",
        ):
            connection.execute(text(statement), {"id": low, "at": at})


def test_time_ids_rise_and_tell_their_time(db: Database) -> None:
    with db.begin() as connection:
        ids = list(connection.execute(text("SELECT time_id() FROM generate_series(1, 2000)")).scalars())
        (made,) = connection.execute(text("SELECT to_timestamp((:id >> 21) / 1000.0)"), {"id": ids[0]}).one()

    assert len(set(ids)) == 2000
    assert abs(made - datetime.now(UTC)) < timedelta(minutes=1)
    assert ids[0] >= time_ids.floor(made - timedelta(milliseconds=2))


def test_old_rows_of_the_pool_go_with_their_runs(world: World) -> None:
    world.add_courier()
    _, parked, young = world.accept(3)
    world.settle()
    world.sql("UPDATE fleet_pool SET at = now() - interval '40 days' WHERE order_id <> :young", young=young)
    world.sql("UPDATE runs SET state = 'p' WHERE order_id = :parked", parked=parked)

    with world.db.begin() as connection:
        gone = pool.forget(connection, before=datetime.now(UTC) - timedelta(days=31))

    assert gone == 1
    left = {row[0] for row in world.rows("SELECT order_id FROM fleet_pool")}
    assert left == {parked, young}


def request(key: str, *, not_after: datetime = SOON, courier: str | None = None) -> Request:
    body = {"order": key.split(":", maxsplit=1)[0], "tenant": "default", "courier": courier, "eta_s": 900.0}
    return Request(key, not_after, body)


def verdicts(answers: list[object]) -> list[str]:
    return [answer.verdict for answer in answers]  # type: ignore[attr-defined]


def test_the_own_fleet_keeps_a_providers_promises(db: Database) -> None:
    own = OwnFleet(db)
    asked = [request("a:dispatch:0"), request("b:dispatch:0")]
    keys = [one.key for one in asked]

    def do() -> list[str]:
        return verdicts([*own.do("dispatches", asked, timeout_s=1)])

    def find() -> list[str]:
        return verdicts([*own.find("dispatches", [*keys, "c:dispatch:0"], timeout_s=1)])

    assert do() == do() == [Verdict.DONE] * 2
    assert find() == [Verdict.DONE, Verdict.DONE, Verdict.UNKNOWN]
    undone = verdicts([*own.undo("dispatches", [*keys, "c:dispatch:0"], timeout_s=1)])
    assert undone == [Verdict.UNDONE] * 3
    assert find() == [Verdict.UNDONE] * 3
    assert do() == [Verdict.REFUSED] * 2
    late = own.do(
        "dispatches",
        [request("d:dispatch:0", not_after=datetime.now(UTC) - timedelta(seconds=1))],
        timeout_s=1,
    )
    assert verdicts([*late]) == [Verdict.REFUSED]


def test_an_own_fleet_that_does_not_answer_leaves_doubt() -> None:
    own = OwnFleet(database.engine("postgresql+psycopg2://nobody@127.0.0.1:1/none", pool_size=1))

    assert verdicts([*own.do("dispatches", [request("a:b:0")], timeout_s=1)]) == [Verdict.IN_DOUBT]


def test_couriers_with_room_are_those_on_duty_with_fewer_orders_than_they_take(world: World) -> None:
    world.sql(
        "INSERT INTO couriers (tenant_id, id, lat, lng, max_orders, on_from, on_until) VALUES "
        "('default', 'free', 1, 2, 2, NULL, NULL), ('default', 'full', 1, 2, 1, NULL, NULL), "
        "('default', 'early', 1, 2, 2, now() + interval '1 h', NULL), "
        "('default', 'late', 1, 2, 2, NULL, now() - interval '1 s'), ('another', 'theirs', 1, 2, 2, NULL, NULL)"
    )
    own = OwnFleet(world.db)
    own.do("dispatches", [request("a:d:0", courier="free"), request("b:d:0", courier="full")], timeout_s=1)

    with world.db.begin() as connection:
        found = {courier.id: courier.free for courier in fleet.with_room(connection, ["default"])}

    assert found == {"free": 1}


def test_a_recalled_order_gives_its_courier_room_again(world: World) -> None:
    world.sql("INSERT INTO couriers (tenant_id, id, lat, lng, max_orders) VALUES ('default', 'one', 1, 2, 1)")
    own = OwnFleet(world.db)
    own.do("dispatches", [request("a:d:0", courier="one")], timeout_s=1)
    own.undo("dispatches", ["a:d:0"], timeout_s=1)

    with world.db.begin() as connection:
        assert [courier.id for courier in fleet.with_room(connection, ["default"])] == ["one"]


def test_a_key_opens_for_its_token_until_it_expires(db: Database) -> None:
    token = keys.new_token()
    with db.begin() as connection:
        keys.keep(connection, token, "default", scopes=["orders:read"])
        keys.keep(connection, token, "default", scopes=["admin"])  # the first one stays
        key = keys.find(connection, [keys.prefix(token) or ""]).get(keys.prefix(token) or "")
        connection.execute(text("UPDATE api_keys SET expires_at = now() - interval '1 s'"))
        expired = keys.find(connection, [keys.prefix(token) or ""]).get(keys.prefix(token) or "")

    assert key
    assert expired
    assert key.scopes == {"orders:read"}
    assert key.matches(token)
    assert not key.matches(token[:-1] + ("a" if token[-1] != "a" else "b"))
    assert not expired.matches(token)


@pytest.mark.parametrize(
    "token", ["", "uoop", "uoop_short_x", "other_12345678_x", "uoop_123456789_x", "uoop__x"]
)
def test_what_is_no_key_has_no_prefix(token: str) -> None:
    assert keys.prefix(token) is None


def test_half_a_surrogate_pair_in_a_json_column_can_be_read(db: Database) -> None:
    """An event that nobody can write down must still be read, to be put aside."""
    with db.connect() as connection:
        assert connection.execute(text(r"""SELECT CAST('{"status": "\ud800"}' AS json)""")).scalar_one() == {
            "status": "\ud800"
        }
