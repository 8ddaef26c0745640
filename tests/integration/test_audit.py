"""A clean history passes; every violation made on purpose is found, by the check that is there for it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from app import database
from app.capacity.ledger import EPOCH_KEY
from app.outbox.redis_stream import STREAM
from benchmarks import history
from infra import audit as auditing
from infra import bootstrap
from infra.audit import Report, Standing
from infra.audit.checks import CHECKS, table
from infra.audit.model import JournalUnreadable, Level, SourceAway
from infra.sandbox.ledger import Ledger
from infra.settings import Settings

ORDERS = 40
EVERYTHING = 1 << 62

# One order of each fate, for statements about it.
CONFIRMED = "(SELECT id FROM uoop_orders WHERE partner = 'swift' ORDER BY id LIMIT 1)"
POOLED = "(SELECT id FROM uoop_orders WHERE partner = 'own-fleet' ORDER BY id LIMIT 1)"
DELIVERED = "(SELECT id FROM uoop_orders WHERE status = 'DELIVERED' ORDER BY id LIMIT 1)"
REFUNDED = "(SELECT f.order_id FROM follow_ups f JOIN runs r ON r.id = f.run_id WHERE r.saga = 'refund-order' LIMIT 1)"
RECALLED = "(SELECT id FROM uoop_orders WHERE status = 'CANCELLED' ORDER BY id LIMIT 1)"
FAILED = "(SELECT id FROM uoop_orders WHERE failure ->> 'code' = 'no-available-partner' ORDER BY id LIMIT 1)"

TERMINATED = (
    f"INSERT INTO fleet_pool (key, order_id, state) SELECT 'k', {FAILED}, 'pooled'",
    "UPDATE runs SET failure = jsonb_set(failure, '{code}', '\"terminated\"') WHERE order_id = " + FAILED,
    "UPDATE uoop_orders SET failure = jsonb_set(failure, '{code}', '\"terminated\"') WHERE id = " + FAILED,
)
ACT = (
    "INSERT INTO ops_acts (tenant_id, run_id, order_id, act, step, who, why, before, after) SELECT 'default', run_id, "
    "id, '{act}', {step}, 'tests', 'because', '{{}}', '{{}}' FROM uoop_orders WHERE id = {order}"
)
PAUSE = (
    "INSERT INTO pauses (kind, name, tenant_id, who, why) VALUES ('step', 's', 'default', 'tests', 'because')"
)


@dataclass(frozen=True)
class World:
    """A history in all stores, ready to be spoilt."""

    settings: Settings
    engine: Engine
    ledger: "redis.Redis"
    events: "redis.Redis"
    folder: Path

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def spoil(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def one(self, sql: str) -> str:
        with self.engine.connect() as connection:
            return str(connection.execute(text(f"SELECT {sql}")).scalar_one())

    def audit(self, **options: Any) -> Report:
        lines = (self.folder / "lines").read_text().splitlines(keepends=True)
        effects = [line.encode() for line in lines]
        return auditing.audit(self.settings, [self.journal], effects=effects, **options)


@pytest.fixture(scope="session")
def template_database(postgres_url: str, servers_home: Path) -> str:
    """The history, written once; each test gets a copy of the database."""
    name = "audit_history"
    base, _, _ = postgres_url.rpartition("/")
    administration = database.engine(postgres_url, pool_size=1)
    with administration.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    administration.dispose()
    settings = Settings(home=servers_home, database_url=f"{base}/{name}", redis_url="redis://localhost")
    bootstrap.prepare(settings)
    engine = database.engine(f"{base}/{name}", pool_size=1)
    history.write(engine, ORDERS)
    engine.dispose()
    return name


@pytest.fixture
def world(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[World]:
    settings = Settings(home=tmp_path, database_url=database_url, redis_url=redis_url)
    engine = database.engine(database_url, pool_size=1)
    ledger = redis.Redis.from_url(settings.ledger_url.get_secret_value())
    events = redis.Redis.from_url(settings.events_url.get_secret_value())
    for client in (ledger, events):
        client.flushdb()
    history.publish(engine, ledger, events)
    history.record(engine, tmp_path / "ledger.db")
    history.journal(engine, tmp_path / "journal")
    sandbox = Ledger(tmp_path / "ledger.db")
    (tmp_path / "lines").write_bytes(b"".join(sandbox.as_tsv(0, EVERYTHING)))
    sandbox.close()
    yield World(settings, engine, ledger, events, tmp_path)
    engine.dispose()
    ledger.close()
    events.close()


@pytest.fixture
def consumed(world: World) -> dict[str, Path]:
    """Journals of a consumer of the stream, and of a webhook for what is confirmed, which has taken all of it."""
    world.spoil(
        "INSERT INTO webhook_endpoints (id, tenant_id, url, types, secret) VALUES "
        "('hook', 'default', 'https://shop.example', '{order.confirmed}', '')",
        "INSERT INTO webhook_deliveries (day, endpoint_id, pos, order_id, state, tries, delivered_at) "
        "SELECT day, 'hook', pos, order_id, 'd', 1, at FROM outbox_log WHERE type = 'order.confirmed'",
    )
    stream: Any = world.events.xrange(STREAM)
    events = [entry[b"event"] for _, entry in stream]
    journals = {
        "redis-stream": events,
        "hook": [event for event in events if b'"order.confirmed"' in event],
    }
    for name, heard in journals.items():
        (world.folder / name).write_bytes(b"".join(event + b"\n" for event in heard))
    return {name: world.folder / name for name in journals}


def found(report: Report) -> set[str]:
    return {finding.check.name for finding in report.violations}


def test_a_clean_history_passes_every_check(world: World, consumed: dict[str, Path]) -> None:
    report = world.audit(consumed=consumed, settled=True, strict_latency=True)

    assert report.lines == [line for line in report.lines if " ok " in line]
    assert (report.clean, report.lost, report.duplicates) == (True, 0, 0)
    empty = {finding.check.name for finding in report.checks if not finding.among}
    assert empty == {"parked-has-reason", "cohort-has-slot", "traveller-listed", "listed-travels"} | {
        "rerouted-dispatched"
    }


IN_POSTGRES: list[tuple[str, set[str], list[str]]] = [
    (
        "an order is lost with all its rows",
        {"journal-order-kept", "run-has-order", "key-has-order", "effect-has-order", "event-has-order"}
        | {"external-id-agrees", "ledger-hold-has-order"},
        [
            "DELETE FROM uoop_orders WHERE id = "
            "(SELECT id FROM uoop_orders WHERE partner = 'swift' AND external_order_id IS NOT NULL LIMIT 1)"
        ],
    ),
    (
        "an order has lost its run",
        {"order-has-run", "hold-has-run"},
        [f"DELETE FROM runs WHERE order_id = {CONFIRMED}"],
    ),
    (
        "an order has two runs",
        {"run-has-order"},
        [
            "INSERT INTO runs (id, order_id, tenant_id, saga, version, state, lane, due_at, not_after) SELECT id + 1, "
            "order_id, tenant_id, saga, version, 'e', lane, due_at, not_after FROM runs "
            f"WHERE order_id = {CONFIRMED}"
        ],
    ),
    (
        "the event of an acceptance is gone",
        {"order-announced", "order-sequence", "log-gapless", "stream-agrees"},
        [f"DELETE FROM outbox_log WHERE sequence = 1 AND order_id = {CONFIRMED}"],
    ),
    (
        "a key names two orders",
        {"key-names-one-order", "order-has-one-key"},
        [
            "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, order_id) "
            f"SELECT tenant_id, key, 'x', {POOLED} FROM idempotency_keys WHERE order_id = {CONFIRMED}"
        ],
    ),
    (
        "an order has another key than it was answered for",
        {"journal-key-agrees"},
        [f"UPDATE idempotency_keys SET key = 'other' WHERE order_id = {CONFIRMED}"],
    ),
    (
        "an external id names another order",
        {"external-id-agrees"},
        [
            "UPDATE external_order_ids SET external_order_id = 'other' WHERE external_order_id = "
            "(SELECT min(external_order_id) FROM external_order_ids)"
        ],
    ),
    (
        "an order is both with a partner and in the pool",
        {"one-dispatch-stands", "confirmed-dispatched"},
        [f"INSERT INTO fleet_pool (key, order_id, state) SELECT 'k', {CONFIRMED}, 'pooled'"],
    ),
    (
        "a failed order is still in the pool",
        {"failed-nets-to-zero"},
        [f"INSERT INTO fleet_pool (key, order_id, state) SELECT 'k', {FAILED}, 'pooled'"],
    ),
    (
        "the pool has an order that nobody knows",
        {"pooled-has-order"},
        ["INSERT INTO fleet_pool (key, order_id, state) VALUES ('k', 'nobody', 'pooled')"],
    ),
    (
        "a confirmed order names another partner than it went to",
        {"confirmed-dispatched"},
        [f"UPDATE uoop_orders SET partner = 'falcon' WHERE id = {CONFIRMED}"],
    ),
    (
        "an order's total is not what was paid",
        {"confirmed-authorized", "confirmed-captured", "captured-amount"},
        [f"UPDATE uoop_orders SET total_amount = 99 WHERE id = {CONFIRMED}"],
    ),
    (
        "a compensation was never proven",
        {"failed-undone"},
        [
            "DELETE FROM outcomes WHERE verdict = 'u' AND step = 5 AND run_id = "
            f"(SELECT run_id FROM uoop_orders WHERE id = {FAILED})"
        ],
    ),
    (
        "an order says wrongly that nothing was to be undone",
        {"failed-undone"},
        [
            "UPDATE uoop_orders SET failure = jsonb_set(failure, '{compensated}', to_jsonb(false)) "
            f"WHERE id = {FAILED}"
        ],
    ),
    (
        "an order waits past its time",
        {"order-ended", "order-in-time", "run-ended"}
        | {"last-event-agrees", "captured-amount", "confirmed-holds"}
        - {"captured-amount", "confirmed-holds"},
        [
            f"UPDATE runs SET state = 'w', not_after = now() - interval '1 s' WHERE order_id = {CONFIRMED}",
            f"UPDATE uoop_orders SET status = 'PENDING' WHERE id = {CONFIRMED}",
        ],
    ),
    (
        "a confirmed order's run is still before its confirmation",
        {"run-agrees", "run-ended"},
        [f"UPDATE runs SET state = 'w', stage = 3 WHERE order_id = {CONFIRMED}"],
    ),
    (
        "a run was parked without a reason",
        {"parked-has-reason"},
        [f"UPDATE runs SET state = 'p' WHERE order_id = {CONFIRMED}"],
    ),
    (
        "a run was ended as it stood and no operator has done it",
        {"terminated-has-act", "failed-nets-to-zero"},
        [*TERMINATED],
    ),
    (
        "an operator has ended another order than the one that stands",
        {"terminated-has-act", "failed-nets-to-zero"},
        [*TERMINATED, ACT.format(act="terminate", step="NULL", order=CONFIRMED)],
    ),
    (
        "an order that nobody has terminated fails though an operator touched it",
        {"failed-nets-to-zero"},
        [TERMINATED[0], ACT.format(act="terminate", step="NULL", order=FAILED)],
    ),
    (
        "a pause is no excuse for an order that is not due for its end",
        {"order-ended", "order-in-time", "run-ended", "last-event-agrees"},
        [
            PAUSE,
            f"UPDATE runs SET state = 'w', lane = 'paused:step:s', not_after = now() - interval '1 s' "
            f"WHERE order_id = {CONFIRMED}",
            f"UPDATE uoop_orders SET status = 'PENDING' WHERE id = {CONFIRMED}",
        ],
    ),
    (
        "a slot is held by a cohort that has ended",
        {"slot-led"},
        ["UPDATE slots SET cohort_id = (SELECT min(id) FROM cohorts) WHERE (lane, n) = ('front', 1)"],
    ),
    (
        "a cohort under way has no slot",
        {"cohort-has-slot"},
        ["UPDATE cohorts SET ended_at = NULL WHERE id = (SELECT min(id) FROM cohorts)"],
    ),
    (
        "a run travels with a cohort that has ended",
        {"traveller-listed", "run-ended"},
        [f"UPDATE runs SET state = 't', cohort_id = trail[1] WHERE order_id = {CONFIRMED}"],
    ),
    (
        "a cohort lists a run that waits",
        {"listed-travels", "cohort-has-slot"},
        [
            f"UPDATE cohorts SET ended_at = NULL, members = ARRAY(SELECT id FROM runs WHERE order_id = {CONFIRMED}) "
            "WHERE id = (SELECT min(id) FROM cohorts)"
        ],
    ),
    (
        "a cohort ended in the middle of a step",
        {"ended-finished"},
        ["UPDATE executions SET finished_at = NULL WHERE step = 5"],
    ),
    (
        "a follow-up bears another number than its run",
        {"run-has-order", "refund-wanted", "refund-agrees"},
        ["UPDATE follow_ups SET nth = 2 WHERE order_id = " + REFUNDED],
    ),
    (
        "a follow-up is unknown to its order",
        {"run-has-order"},
        ["UPDATE uoop_orders SET follow_ups = NULL WHERE id = " + REFUNDED],
    ),
    (
        "a refund is told that was never given",
        {"refund-agrees"},
        [
            "INSERT INTO refunds (run_id, order_id, amount) SELECT run_id + 1, order_id, 1 FROM refunds "
            f"WHERE order_id = {REFUNDED}",
            "INSERT INTO follow_ups (run_id, order_id, nth, asked) SELECT id + 1, order_id, 2, '{}' FROM runs "
            f"WHERE generation = 1 AND order_id = {REFUNDED}",
            "INSERT INTO runs (id, order_id, tenant_id, saga, version, state, generation, lane, due_at, not_after, "
            "updated_at) SELECT id + 1, order_id, tenant_id, saga, version, 'e', 2, lane, due_at, not_after, "
            f"updated_at FROM runs WHERE generation = 1 AND order_id = {REFUNDED}",
            f"UPDATE uoop_orders SET follow_ups = 2 WHERE id = {REFUNDED}",
        ],
    ),
    ("a refund is not told", {"refund-agrees"}, [f"DELETE FROM refunds WHERE order_id = {REFUNDED}"]),
    (
        "an order was cancelled though no run has taken it back",
        {"run-agrees", "failed-undone", "failed-nets-to-zero", "captured-amount"},
        [
            'UPDATE runs SET failure = \'{"code": "partner-keeps-order"}\' WHERE generation = 1 AND order_id = '
            + RECALLED
        ],
    ),
    (
        "a cancelled order keeps its place",
        {"hold-follows-run", "failed-holds-nothing", "ledger-agrees"},
        [f"UPDATE capacity_holds SET released_at = NULL WHERE order_id = {RECALLED}"],
    ),
    (
        "an event is still in the inbox",
        {"inbox-empty", "order-sequence", "last-event-agrees"},
        [
            "INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data) "
            f"SELECT 'default', {CONFIRMED}, 3, 'order.delivered', '{{}}'"
        ],
    ),
    (
        "an order's events are in the wrong order",
        {"order-sequence", "stream-agrees"},
        [
            "UPDATE outbox_log SET sequence = 3 - sequence, type = CASE sequence WHEN 1 "
            f"THEN 'order.confirmed' ELSE 'order.accepted' END WHERE order_id = {CONFIRMED}"
        ],
    ),
    (
        "the status has changed without an event",
        {"last-event-agrees"},
        [f"UPDATE uoop_orders SET status = 'PREPARING' WHERE id = {CONFIRMED}"],
    ),
    (
        "a delivery went backwards",
        {"moves-allowed", "stream-agrees"},
        [
            "UPDATE outbox_log SET type = CASE sequence WHEN 3 THEN 'order.in-transit' ELSE 'order.preparing' END "
            f"WHERE sequence IN (3, 6) AND order_id = {DELIVERED}"
        ],
    ),
    (
        "a delivery came to a status twice",
        {"moves-allowed", "stream-agrees"},
        [
            f"UPDATE outbox_log SET type = 'order.picked-up' WHERE sequence IN (5, 6) AND order_id = {DELIVERED}"
        ],
    ),
    (
        "a report was not looked at",
        {"report-decided"},
        [f"UPDATE delivery_reports SET state = 'n' WHERE order_id = {DELIVERED}"],
    ),
    (
        "a report waits for nothing",
        {"report-decided"},
        [f"UPDATE delivery_reports SET state = 'w' WHERE order_id = {DELIVERED}"],
    ),
    (
        "a report was parked without a reason",
        {"report-parked-with-reason"},
        [f"UPDATE delivery_reports SET state = 'p' WHERE order_id = {DELIVERED}"],
    ),
    (
        "nobody brings an order to its new partner",
        {"rerouting-led"},
        [f"UPDATE uoop_orders SET rerouting = run_id WHERE id = {CONFIRMED}"],
    ),
    (
        "the log goes on beyond the sequencer",
        {"sequencer-at-end", "relay-at-end"},
        ["UPDATE outbox_sequencer SET pos = pos - 1"],
    ),
    (
        "the relay stands behind the log",
        {"relay-at-end"},
        ["UPDATE sinks SET pos = pos - 1"],
    ),
    (
        "nobody delivered some events",
        {"deliveries-cover"},
        ["DELETE FROM deliveries"],
    ),
    (
        "events were delivered late",
        {"delivered-promptly"},
        ["UPDATE deliveries SET delivered_at = delivered_at + interval '10 s'"],
    ),
    (
        "a slot is oversold",
        {"never-oversold"},
        [
            "INSERT INTO restaurants (tenant_id, id, lat, lng, slot_capacity) "
            f"SELECT 'default', restaurant_id, 0, 0, 0 FROM uoop_orders WHERE id = {CONFIRMED}"
        ],
    ),
    (
        "a confirmed order's hold was released",
        {"hold-follows-run", "confirmed-holds", "ledger-agrees"},
        [f"UPDATE capacity_holds SET released_at = now() WHERE order_id = {CONFIRMED}"],
    ),
    (
        "a failed order's hold has leaked",
        {"hold-follows-run", "failed-holds-nothing", "ledger-agrees"},
        [f"UPDATE capacity_holds SET released_at = NULL WHERE order_id = {FAILED}"],
    ),
    (
        "a hold is in another kitchen's window",
        {"hold-follows-run", "ledger-agrees"},
        [f"UPDATE capacity_holds SET slot = 'default/other/0' WHERE order_id = {CONFIRMED}"],
    ),
    (
        "the ledger lacks an order's place in its zone",
        {"ledger-agrees"},
        [f"UPDATE capacity_holds SET more = '{{zone:default/north/0}}' WHERE order_id = {CONFIRMED}"],
    ),
    (
        "a zone is oversold",
        {"never-oversold", "ledger-agrees"},
        [
            f"UPDATE capacity_holds SET more = '{{zone:default/north/0}}' WHERE order_id = {CONFIRMED}",
            "INSERT INTO capacity_limits VALUES ('default', 'zone', 'north', '-infinity', 0, 0)",
        ],
    ),
    (
        "a partner has more than he takes",
        {"never-oversold", "ledger-agrees"},
        [
            f"UPDATE capacity_holds SET more = '{{partner:default/swift/0}}' WHERE order_id = {CONFIRMED}",
            "INSERT INTO capacity_limits VALUES ('default', 'partner', 'swift', '-infinity', 0, 0)",
        ],
    ),
    (
        "the truth is of another epoch than the ledger",
        {"ledger-epoch"},
        ["UPDATE capacity_ledger SET epoch = epoch + 1"],
    ),
]


@pytest.mark.parametrize(
    ("expected", "statements"), [row[1:] for row in IN_POSTGRES], ids=[r[0] for r in IN_POSTGRES]
)
def test_a_violation_in_postgres_is_found(world: World, expected: set[str], statements: list[str]) -> None:
    world.spoil(*statements)

    report = world.audit(settled=True, strict_latency=True)

    assert found(report) == expected
    assert not report.clean


Edit = Callable[[list[list[str]], str], object]


def _of(lines: list[list[str]], order: str, resource: str, op: str) -> list[str]:
    return next(line for line in lines if (line[2], line[4], line[5]) == (resource, order, op))


def _again(resource: str, **changes: str) -> Edit:
    """The order's effect happens once more, with some fields changed."""
    places = {"provider": 1, "key": 3, "order": 4, "op": 5}

    def edit(lines: list[list[str]], order: str) -> None:
        line = list(_of(lines, order, resource, "do"))
        for name, value in changes.items():
            line[places[name]] = value
        lines.append(line)

    return edit


def _without(resource: str, op: str) -> Edit:
    return lambda lines, order: lines.remove(_of(lines, order, resource, op))


def _amount(resource: str) -> Edit:
    def edit(lines: list[list[str]], order: str) -> None:
        _of(lines, order, resource, "do")[7] = "77.000"

    return edit


def _rerouted_to(partner: str) -> Edit:
    """The order's dispatch was recalled, and another partner has it now."""

    def edit(lines: list[list[str]], order: str) -> None:
        dispatch = _of(lines, order, "dispatches", "do")
        recall, again = list(dispatch), list(dispatch)
        recall[5] = "undo"
        again[1], again[3] = partner, f"{order}:dispatch-to-partner:{partner}:1"
        lines += [recall, again]

    return edit


def _unwanted_refund(lines: list[list[str]], order: str) -> None:
    line = list(_of(lines, order, "captures", "do"))
    line[2], line[3], line[7] = "refunds", f"{order}:refund-payment:1", "77.000"
    lines.append(line)


AT_THE_PROVIDERS: list[tuple[str, set[str], str, Edit]] = [
    ("an effect for nobody", {"effect-has-order"}, CONFIRMED, _again("placements", order="nobody", key="x")),
    (
        "one key took effect twice",
        {"effect-once", "one-effect-stands", "confirmed-placed"},
        CONFIRMED,
        _again("placements"),
    ),
    (
        "an effect was undone twice",
        {"effect-once", "failed-nets-to-zero"},
        FAILED,
        _again("placements", op="undo"),
    ),
    (
        "two captures",
        {"one-effect-stands", "confirmed-captured"},
        CONFIRMED,
        _again("captures", key="other"),
    ),
    (
        "two partners have the order",
        {"one-dispatch-stands", "confirmed-dispatched", "rerouted-dispatched"},
        CONFIRMED,
        _again("dispatches", provider="falcon", key="other"),
    ),
    (
        "a rerouted order names another partner than the one who has it",
        {"rerouted-dispatched"},
        CONFIRMED,
        _rerouted_to("falcon"),
    ),
    ("no authorization", {"confirmed-authorized"}, CONFIRMED, _without("authorizations", "do")),
    ("another amount authorized", {"confirmed-authorized"}, CONFIRMED, _amount("authorizations")),
    ("no placement", {"confirmed-placed"}, CONFIRMED, _without("placements", "do")),
    ("no dispatch", {"confirmed-dispatched"}, CONFIRMED, _without("dispatches", "do")),
    ("no capture", {"confirmed-captured"}, CONFIRMED, _without("captures", "do")),
    ("another amount captured", {"confirmed-captured", "captured-amount"}, CONFIRMED, _amount("captures")),
    ("money held for a failed order", {"failed-nets-to-zero"}, FAILED, _without("authorizations", "undo")),
    ("a failed order still placed", {"failed-nets-to-zero"}, FAILED, _without("placements", "undo")),
    ("a cancelled order still placed", {"failed-nets-to-zero"}, RECALLED, _without("placements", "undo")),
    (
        "a cancelled order still with its partner",
        {"failed-nets-to-zero"},
        RECALLED,
        _without("dispatches", "undo"),
    ),
    (
        "a cancelled order's money is kept",
        {"failed-nets-to-zero", "refund-agrees"},
        RECALLED,
        _without("refunds", "do"),
    ),
    ("a refund that nobody wanted", {"refund-wanted", "refund-within-capture"}, CONFIRMED, _unwanted_refund),
    ("another amount refunded", {"refund-agrees", "refund-within-capture"}, REFUNDED, _amount("refunds")),
]


@pytest.mark.parametrize(
    ("expected", "order", "edit"), [row[1:] for row in AT_THE_PROVIDERS], ids=[r[0] for r in AT_THE_PROVIDERS]
)
def test_a_violation_at_the_providers_is_found(
    world: World, expected: set[str], order: str, edit: Edit
) -> None:
    path = world.folder / "lines"
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    edit(lines, world.one(order))
    path.write_text("".join("\t".join(line) + "\n" for line in lines))

    report = world.audit(settled=True, strict_latency=True)

    assert found(report) == expected


def test_what_was_held_before_a_limit_was_lowered_is_not_oversold(world: World) -> None:
    world.spoil(
        "INSERT INTO capacity_limits SELECT 'default', 'kitchen', restaurant_id, '-infinity', 0, 1000 "
        f"FROM uoop_orders WHERE id = {CONFIRMED}"
    )

    assert world.audit(settled=True, strict_latency=True).clean


def _slot_key(world: World) -> str:
    return "{uoop}:" + world.one("epoch FROM capacity_ledger") + ":hold:" + _slot(world)


def _slot(world: World) -> str:
    return world.one(f"slot FROM capacity_holds WHERE order_id = {CONFIRMED}")


IN_REDIS: list[tuple[str, set[str], Callable[[World], object]]] = [
    ("the stream was emptied", {"stream-complete"}, lambda w: w.events.delete(STREAM)),
    ("an entry is gone", {"stream-in-order", "stream-complete"}, lambda w: w.events.xdel(STREAM, "5-0")),
    (
        "an entry is not of the log",
        {"stream-agrees"},
        lambda w: w.events.xadd(STREAM, {"event": "{}"}, id=w.one("max(pos) + 1 || '-0' FROM outbox_log")),
    ),
    ("the ledger was emptied", {"ledger-epoch"}, lambda w: w.ledger.flushdb()),
    ("the ledger has another epoch", {"ledger-epoch"}, lambda w: w.ledger.set(EPOCH_KEY, 77)),
    (
        "the ledger has lost a hold",
        {"ledger-agrees"},
        lambda w: w.ledger.zrem(_slot_key(w), w.one(CONFIRMED)),
    ),
    (
        "the ledger holds for a failed order",
        {"ledger-agrees", "failed-holds-nothing"},
        lambda w: w.ledger.zadd(_slot_key(w), {w.one(FAILED): 9e9}),
    ),
    (
        "the ledger holds for nobody",
        {"ledger-hold-has-order"},
        lambda w: w.ledger.zadd(_slot_key(w), {"nobody": 9e9}),
    ),
    (
        "the ledger is oversold",
        {"never-oversold", "ledger-hold-has-order"},
        lambda w: w.ledger.zadd(_slot_key(w), {f"nobody-{n}": 9e9 for n in range(1000)}),
    ),
]


@pytest.mark.parametrize(("expected", "spoil"), [row[1:] for row in IN_REDIS], ids=[r[0] for r in IN_REDIS])
def test_a_violation_in_redis_is_found(
    world: World, expected: set[str], spoil: Callable[[World], object]
) -> None:
    spoil(world)

    report = world.audit(settled=True, strict_latency=True)

    assert found(report) == expected


Heard = list[dict[str, Any]]


def _swap(heard: Heard) -> None:
    """The second event of an order comes before its first."""
    second = next(n for n, event in enumerate(heard) if event["sequence"] == 2)
    first = next(n for n, event in enumerate(heard) if event["subject"] == heard[second]["subject"])
    heard[first], heard[second] = heard[second], heard[first]


BY_CONSUMERS: list[tuple[str, set[str], str, Callable[[Heard], object]]] = [
    ("an event never came", {"heard-all"}, "redis-stream", lambda heard: heard.pop(7)),
    ("two events came the wrong way round", {"heard-in-order"}, "redis-stream", _swap),
    (
        "an event came again under another id",
        {"heard-as-logged"},
        "redis-stream",
        lambda heard: heard.append({**heard[3], "id": "987654"}),
    ),
    (
        "an event is of another type than in the log",
        {"heard-as-logged"},
        "redis-stream",
        lambda heard: heard[3].update(type="order.eaten"),
    ),
    ("a receiver has answered for what it lost", {"heard-what-was-taken"}, "hook", lambda heard: heard.pop()),
]


@pytest.mark.parametrize(
    ("expected", "consumer", "edit"), [row[1:] for row in BY_CONSUMERS], ids=[r[0] for r in BY_CONSUMERS]
)
def test_a_violation_that_consumers_have_seen_is_found(
    world: World,
    consumed: dict[str, Path],
    expected: set[str],
    consumer: str,
    edit: Callable[[Heard], object],
) -> None:
    heard = [json.loads(line) for line in consumed[consumer].read_text().splitlines()]
    edit(heard)
    consumed[consumer].write_text("".join(json.dumps(event) + "\n" for event in heard))

    report = world.audit(consumed=consumed, settled=True)

    assert found(report) == expected


NOT_POSTED = "UPDATE webhook_deliveries SET state = 'g', delivered_at = NULL WHERE order_id = " + CONFIRMED


def test_what_a_receiver_has_not_taken_is_open_until_all_should_have_settled(
    world: World, consumed: dict[str, Path]
) -> None:
    world.spoil(NOT_POSTED)

    reports = [world.audit(consumed=consumed, settled=settled) for settled in (False, True)]

    assert [found(report) for report in reports] == [set(), {"posted-all"}]


def test_what_a_receiver_was_sent_again_may_come_in_any_order(
    world: World, consumed: dict[str, Path]
) -> None:
    heard = consumed["redis-stream"].read_text().splitlines(keepends=True)
    first, later = (line for line in heard if json.loads(line)["subject"] == world.one(CONFIRMED))
    consumed["hook"].write_text(consumed["hook"].read_text() + first)  # after the later one
    assert later in consumed["hook"].read_text()

    before = world.audit(consumed=consumed, settled=True)
    world.spoil("UPDATE webhook_deliveries SET tries = 2 WHERE order_id = " + CONFIRMED)
    after = world.audit(consumed=consumed, settled=True)

    assert (found(before), found(after)) == ({"heard-in-order"}, set())


def test_what_came_twice_under_its_id_is_told_and_no_violation(
    world: World, consumed: dict[str, Path]
) -> None:
    with consumed["redis-stream"].open("a") as file:
        file.write(consumed["redis-stream"].read_text().splitlines()[3] + "\n" + '{"torn')

    report = world.audit(consumed=consumed, settled=True)

    assert (found(report), told(report).keys()) == (set(), {"heard-once"})


def test_a_consumer_of_nothing_that_there_is_is_refused(world: World, consumed: dict[str, Path]) -> None:
    with pytest.raises(JournalUnreadable, match="no sink or webhook elsewhere"):
        world.audit(consumed={"elsewhere": consumed["hook"]})


def test_a_journal_that_knows_more_than_postgres_tells_of_loss(world: World) -> None:
    with world.journal.open("a") as file:
        file.write(json.dumps({"id": "lost-1", "key": "key-lost", "sent_at": 1.0}) + "\n")

    report = world.audit(settled=True)

    assert (found(report), report.lost) == ({"journal-order-kept"}, 1)
    assert f"P1 FAIL every accepted order is there: {ORDERS} of {ORDERS + 1}; not so " in report.lines[0]
    assert "lost-1" in report.lines[0]


def test_a_key_answered_with_two_orders_is_a_duplicate(world: World) -> None:
    with world.journal.open("a") as file:
        file.write(json.dumps({"id": world.one(CONFIRMED), "key": "key-1"}) + "\n")

    report = world.audit(settled=True)

    assert (found(report), report.duplicates) == ({"journal-key-names-one-order", "journal-key-agrees"}, 1)


def test_every_check_is_proven_by_a_violation() -> None:
    tables = (IN_POSTGRES, AT_THE_PROVIDERS, IN_REDIS, BY_CONSUMERS)

    proven = {name for table in tables for row in table for name in row[1]}
    proven |= {"journal-key-names-one-order", "posted-all"}

    assert proven == {check.name for check in CHECKS if check.level is not Level.TOLD}


def told(report: Report) -> dict[str, tuple[str, ...]]:
    return {f.check.name: f.some for f in report.checks if f.standing is Standing.TOLD}


def test_what_an_operator_has_ended_as_it_stood_is_told_apart(world: World) -> None:
    order = world.one(FAILED)
    slot = world.one(f"slot FROM capacity_holds WHERE order_id = '{order}'")
    world.ledger.zadd("{uoop}:" + world.one("epoch FROM capacity_ledger") + ":hold:" + slot, {order: 9e9})
    world.spoil(
        ACT.format(act="terminate", step="NULL", order=FAILED),
        f"UPDATE capacity_holds SET released_at = NULL WHERE order_id = {FAILED}",
        f"UPDATE runs SET undone = 0 WHERE order_id = {FAILED}",
        f"DELETE FROM outcomes WHERE verdict = 'u' AND run_id = (SELECT run_id FROM uoop_orders WHERE id = {FAILED})",
        TERMINATED[1],
        TERMINATED[0],
        TERMINATED[2].replace(FAILED, f"'{order}'"),
    )

    report = world.audit(settled=True, strict_latency=True)

    assert (found(report), told(report)) == (set(), {"operator-terminated": (order,)})


@pytest.mark.parametrize(
    ("step", "resource"), [("place-with-restaurant", "placements"), ("capture-payment", "captures")]
)
def test_a_step_that_an_operator_has_skipped_is_told_apart(world: World, step: str, resource: str) -> None:
    path = world.folder / "lines"
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    order = world.one(CONFIRMED)
    _without(resource, "do")(lines, order)
    path.write_text("".join("\t".join(line) + "\n" for line in lines))
    missed = found(world.audit(settled=True))
    world.spoil(ACT.format(act="skip", step=f"'{step}'", order=CONFIRMED))

    report = world.audit(settled=True, strict_latency=True)

    assert len(missed) == 1
    assert (found(report), told(report)) == (set(), {"operator-skipped": (order,)})


def test_an_order_that_waits_for_a_pause_to_end_is_told_apart(world: World) -> None:
    order = world.one(CONFIRMED)
    world.spoil(
        PAUSE,
        f"UPDATE runs SET state = 'w', lane = 'paused:step:s', due_at = now() + interval '1 d', "
        f"not_after = now() - interval '1 h' WHERE order_id = {CONFIRMED}",
        f"UPDATE uoop_orders SET status = 'PENDING' WHERE id = {CONFIRMED}",
    )

    report = world.audit(strict_latency=True)

    assert (found(report), told(report)) == ({"last-event-agrees"}, {"operator-pauses": (order,)})


def test_work_under_way_is_open_and_no_violation(world: World) -> None:
    world.spoil(
        f"UPDATE runs SET state = 'w' WHERE order_id = {CONFIRMED}",
        f"UPDATE uoop_orders SET status = 'PENDING' WHERE id = {CONFIRMED}",
    )

    report = world.audit()

    standing = {finding.check.name: finding.standing for finding in report.checks}
    assert (standing["order-ended"], standing["run-ended"]) == (Standing.OPEN, Standing.OPEN)


def test_late_events_are_a_warning_unless_no_store_was_away(world: World) -> None:
    world.spoil("UPDATE deliveries SET delivered_at = delivered_at + interval '10 s'")

    report = world.audit(settled=True)

    standing = {finding.check.name: finding.standing for finding in report.checks}
    assert (report.clean, standing["delivered-promptly"]) == (True, Standing.WARN)


@pytest.mark.parametrize("seconds", [-1, 1])
def test_a_hold_about_its_expiry_may_be_gone_or_not(world: World, seconds: int) -> None:
    world.spoil(f"UPDATE capacity_holds SET expires_at = now() + interval '{seconds} s'")

    before = world.audit(settled=True)
    world.ledger.delete(_slot_key(world))
    after = world.audit(settled=True)

    assert (before.clean, after.clean) == (True, True)


def test_a_torn_last_line_of_a_journal_is_passed_over(world: World) -> None:
    with world.journal.open("a") as file:
        file.write('{"id":"torn')

    assert world.audit(settled=True).clean


def test_a_broken_line_in_a_journal_is_refused_with_its_number(world: World) -> None:
    world.journal.write_text('{"id":"1","key":"k"}\nnot json\n')

    with pytest.raises(JournalUnreadable, match="line 2"):
        world.audit()


def test_a_silent_sandbox_is_named(world: World) -> None:
    with pytest.raises(SourceAway, match="sandbox"):
        auditing.audit(world.settings)


def test_a_silent_redis_is_named(world: World) -> None:
    away = world.settings.with_values(events_url="redis://127.0.0.1:1/4")

    with pytest.raises(SourceAway, match="Redis"):
        auditing.audit(away, effects=[])


def test_a_silent_postgres_is_named(world: World) -> None:
    away = world.settings.with_values(database_url="postgresql://nobody@127.0.0.1:1/none")

    with pytest.raises(SourceAway, match="Postgres"):
        auditing.audit(away, effects=[])


def test_the_documented_checks_are_the_real_ones() -> None:
    documentation = Path(__file__).parents[2] / "docs" / "audit.md"

    assert table() in documentation.read_text()
