"""
A history as the platform would have left it: orders confirmed, refused by payment, and refused by every partner.

Of ten orders nine are confirmed, every fifth of them by the own fleet; of every twenty, one was refused by
payment and one by all partners. Of those confirmed one of twenty is delivered; one was refunded by half, and one
cancelled. All have ended.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from sqlalchemy import Connection, Engine, text

from app.capacity import service as capacity
from app.capacity.ledger import Ledger as HoldLedger
from app.outbox.model import Event
from app.outbox.redis_stream import MAX_ENTRIES, RedisStream
from app.providers.port import Resource
from infra.sandbox.ledger import Ledger, Line

ORDERS_PER_S = 1000
COHORT_SIZE = 500
RESTAURANTS = 4000
PAYMENT, RESTAURANT, PARTNERS = "benefit", "kitchens", ("swift", "falcon")
_ENDED_AGO_S = 60
_LINES_PER_WRITE = 5000
_EVENTS_PER_WRITE = 2000

# `fate`: c confirmed, p refused by payment, d refused by every partner. `ms` is the time of acceptance.
_ORDERS = """
    CREATE TEMP TABLE history ON COMMIT DROP AS
    SELECT i, ms, to_timestamp(ms / 1000.0) AS at, (ms << 21) | (i & 2097151) AS run_id,
        translate(format('%s-%s-7%s-8%s-%s', substr(hex, 1, 8), substr(hex, 9, 4), substr(md5, 1, 3),
            substr(md5, 4, 3), substr(md5, 7, 12)), ' ', '') AS id,
        CASE i % 20 WHEN 0 THEN 'p' WHEN 10 THEN 'd' ELSE 'c' END AS fate,
        CASE i % 5 WHEN 1 THEN 'own-fleet' WHEN 2 THEN 'falcon' ELSE 'swift' END AS partner,
        'r' || i % :restaurants AS restaurant, round((100 + i % 900) / 1000.0, 3) AS amount,
        ((last_ms << 21) | (2 * (i / :size))) AS cohort, ((last_ms << 21) | (2 * (i / :size) + 1)) AS undoing
    FROM (SELECT i, ms, lpad(to_hex(ms), 12, '0') AS hex, md5(i::text) AS md5,
            max(ms) OVER (PARTITION BY i / :size) + 50 AS last_ms
        FROM (SELECT i, (extract(epoch FROM now()) * 1000)::bigint - :ago_ms + i * 1000 / :rate AS ms
            FROM generate_series(1::bigint, :orders) i) times) named
"""
_LIFE = (
    "CROSS JOIN (VALUES (1, 'PREPARING'), (2, 'READY_FOR_PICKUP'), (3, 'PICKED_UP'), (4, 'IN_TRANSIT'), "
    "(5, 'DELIVERED')) life(nth, what)"
)
_TABLES = (
    "CREATE INDEX ON history (run_id)",
    """INSERT INTO uoop_orders (id, tenant_id, customer_id, restaurant_id, status, items, delivery_location,
        total_amount, currency, external_order_id, run_id, channel, partner, eta, failure, version, created_at,
        updated_at)
    SELECT id, 'default', 'c' || i % 100000, restaurant, CASE fate WHEN 'c' THEN 'CONFIRMED' ELSE 'FAILED' END,
        '[{"sku": "a", "name": "A", "quantity": 1, "unit_price": "1.250"}]', '{"lat": 26.2, "lng": 50.6}',
        amount, 'BHD', CASE WHEN i % 3 = 0 THEN 'x' || i END, run_id,
        CASE WHEN fate = 'c' THEN CASE partner WHEN 'own-fleet' THEN partner ELSE 'partner' END END,
        CASE WHEN fate = 'c' THEN partner END, CASE WHEN fate = 'c' THEN at + interval '30 min' END,
        CASE fate WHEN 'p' THEN '{"code": "payment-refused", "step": "authorize-payment", "compensated": true}'::jsonb
            WHEN 'd' THEN '{"code": "no-available-partner", "step": "dispatch-to-partner", "compensated": true}' END,
        2, at, at + interval '0.4 s' FROM history""",
    """INSERT INTO external_order_ids SELECT 'default', 'x' || i, id FROM history WHERE i % 3 = 0""",
    """INSERT INTO idempotency_keys (tenant_id, key, fingerprint, order_id, created_at)
    SELECT 'default', 'key-' || i, md5(id), id, at FROM history""",
    """INSERT INTO runs (id, order_id, tenant_id, saga, version, state, direction, stage, gated, done, touched,
        undone, lane, due_at, not_after, trail, failure, updated_at)
    SELECT run_id, id, 'default', 'fulfill-order', 1, 'e', CASE fate WHEN 'c' THEN 'f' ELSE 'b' END::"char",
        CASE fate WHEN 'c' THEN 6 ELSE 0 END, fate <> 'p',
        CASE fate WHEN 'c' THEN 255 WHEN 'p' THEN 3 ELSE 31 END,
        CASE fate WHEN 'c' THEN 255 WHEN 'p' THEN 7 ELSE 63 END,
        CASE fate WHEN 'c' THEN 0 WHEN 'p' THEN 6 ELSE 54 END, 'retry', at, at + interval '15 min',
        CASE fate WHEN 'c' THEN ARRAY[cohort] ELSE ARRAY[cohort, undoing] END,
        o.failure, at + interval '0.6 s' FROM history JOIN uoop_orders o USING (id, run_id)""",
    """INSERT INTO cohorts (id, saga, version, direction, lane, itinerary, leg, members, size, created_at,
        progressed_at, ended_at)
    SELECT c.id, 'fulfill-order', 1, c.direction, c.lane, c.itinerary, cardinality(c.itinerary), '{}', count(*),
        max(at), max(at), max(at) + interval '0.6 s'
    FROM history CROSS JOIN LATERAL (VALUES (cohort, 'f'::"char", 'front', '{0,1,2,3,4,5,6}'::smallint[]),
        (undoing, 'b', 'compensation', '{0,1,2,3}')) c(id, direction, lane, itinerary)
    WHERE c.direction = 'f' OR fate <> 'c' GROUP BY 1, 4, 5, 6""",
    """INSERT INTO executions (cohort_id, step, epoch, executor, started_at, lease_until, finished_at)
    SELECT id, step, 1, 'x', created_at, created_at, ended_at FROM cohorts
    CROSS JOIN generate_series(0, 7) step WHERE direction = 'f' OR step IN (1, 2, 4, 5)""",
    """INSERT INTO outcomes (run_id, cohort_id, step, verdict, code, detail)
    SELECT run_id, cohort, step, CASE WHEN (fate, step) IN (('p', 2), ('d', 5)) THEN 'r' ELSE 'd' END::"char",
        CASE WHEN fate = 'p' AND step = 2 THEN 'payment-refused' WHEN fate = 'd' AND step = 5
            THEN 'no-available-partner' END,
        CASE step WHEN 3 THEN '{"ranking": ["swift", "falcon"], "eta_s": 1800, "cost": 1.2}'::json
            WHEN 5 THEN json_build_object('partner', partner) END
    FROM history CROSS JOIN generate_series(0, 7) step
    WHERE step <= CASE fate WHEN 'c' THEN 7 WHEN 'p' THEN 2 ELSE 5 END
    UNION ALL SELECT run_id, undoing, step, 'u', NULL, NULL FROM history CROSS JOIN (VALUES (1), (2), (4), (5)) s(step)
    WHERE fate = 'd' OR (fate = 'p' AND step <= 2)""",
    """INSERT INTO capacity_holds (run_id, order_id, slot, expires_at, released_at)
    SELECT run_id, id, 'default/' || restaurant || '/' || w, to_timestamp(greatest(w + 900, ms / 1000 + 900) + 300),
        CASE WHEN fate <> 'c' THEN at + interval '0.5 s' END
    FROM history CROSS JOIN LATERAL (SELECT (ms / 900000) * 900 AS w) windows""",
    """CREATE TEMP TABLE history_later ON COMMIT DROP AS SELECT id, run_id, cohort,
        ((ms + 1000) << 21) | (i & 2097151) AS later, at + interval '1 s' AS at,
        i % 20 = 14 AS cancels, CASE i % 20 WHEN 14 THEN amount ELSE round(amount / 2, 3) END AS given
    FROM history WHERE i % 20 IN (13, 14)""",
    """INSERT INTO runs (id, order_id, tenant_id, saga, version, state, stage, generation, gated, done, touched, lane,
        due_at, not_after, updated_at)
    SELECT later, id, 'default', CASE WHEN cancels THEN 'cancel-confirmed-order' ELSE 'refund-order' END, 1, 'e',
        CASE WHEN cancels THEN 3 ELSE 1 END, 1, true, CASE WHEN cancels THEN 63 ELSE 3 END,
        CASE WHEN cancels THEN 63 ELSE 3 END, 'follow-up', at, at + interval '1 h', at + interval '0.6 s'
    FROM history_later""",
    """INSERT INTO outcomes (run_id, cohort_id, step, verdict) SELECT later, cohort, step, 'd'
    FROM history_later CROSS JOIN generate_series(0, 5) step WHERE cancels OR step < 2""",
    """INSERT INTO follow_ups (run_id, order_id, nth, asked) SELECT later, id, 1,
        CASE WHEN cancels THEN '{"act": "cancel"}'::jsonb ELSE jsonb_build_object('act', 'refund', 'amount', given)
        END FROM history_later""",
    "INSERT INTO refunds (run_id, order_id, amount, at) SELECT later, id, given, at FROM history_later",
    """UPDATE uoop_orders o SET follow_ups = 1, version = CASE WHEN cancels THEN 4 ELSE 3 END,
        status = CASE WHEN cancels THEN 'CANCELLED' ELSE status END, failure = CASE WHEN cancels
            THEN '{"code": "cancelled", "step": null, "compensated": true}'::jsonb END
    FROM history_later l WHERE l.id = o.id""",
    "UPDATE capacity_holds h SET released_at = l.at FROM history_later l WHERE l.run_id = h.run_id AND cancels",
    """INSERT INTO fleet_pool (key, order_id, tenant_id, courier_id, state, busy_until, at)
    SELECT concat_ws(chr(58), id, 'dispatch-to-partner', 'own-fleet', '0'), id, 'default', 'k1', 'pooled',
        at + interval '30 min', at
    FROM history WHERE fate = 'c' AND partner = 'own-fleet'""",
    """INSERT INTO outbox_log (day, pos, id, tenant_id, order_id, sequence, type, data, at)
    SELECT at::date, row_number() OVER (ORDER BY at, sequence, i), row_number() OVER (ORDER BY at, sequence, i),
        'default', id, sequence, type, data, at FROM (
        SELECT i, id, 1 AS sequence, 'order.accepted' AS type, '{"status":"PENDING"}'::json AS data, at FROM history
        UNION ALL SELECT i, id, 2, CASE fate WHEN 'c' THEN 'order.confirmed' ELSE 'order.failed' END,
            json_build_object('status', CASE fate WHEN 'c' THEN 'CONFIRMED' ELSE 'FAILED' END, 'partner', partner,
            'eta', at + interval '30 min'), at + interval '0.4 s' FROM history
        UNION ALL SELECT 0, id, 3, 'order.refunded', json_build_object('amount', given), at FROM history_later
        UNION ALL SELECT 0, id, 4, 'order.cancelled', '{"status": "CANCELLED"}', at FROM history_later WHERE cancels
        ) e""",
    """UPDATE uoop_orders o SET status = 'DELIVERED', version = o.version + 5, updated_at = at + interval '0.9 s'
    FROM history h WHERE h.id = o.id AND i % 20 = 8""",
    f"""INSERT INTO delivery_reports (id, reporter, by, event_id, order_id, what, at, state)
    SELECT run_id + nth, 'partner', partner, id || nth, id, what, at, 'a' FROM history {_LIFE} WHERE i % 20 = 8""",
    f"""INSERT INTO outbox_log (day, pos, id, tenant_id, order_id, sequence, type, data, at)
    SELECT last.at::date, last.pos + row_number() OVER (ORDER BY i, nth),
        last.pos + row_number() OVER (ORDER BY i, nth),
        'default', id, 2 + nth, 'order.' || translate(lower(what), '_', '-'), json_build_object('status', what),
        last.at + interval '0.1 s'
    FROM history {_LIFE} CROSS JOIN (SELECT max(pos) AS pos, max(at) AS at FROM outbox_log) last WHERE i % 20 = 8""",
    "UPDATE outbox_sequencer SET pos = (SELECT max(pos) FROM outbox_log), day = (SELECT max(day) FROM outbox_log)",
    """INSERT INTO sinks (name, pos, day) SELECT 'redis-stream', pos, day FROM outbox_sequencer""",
    """INSERT INTO deliveries (sink, first_pos, last_pos, delivered_at)
    SELECT 'redis-stream', min(pos), max(pos), max(at) + interval '0.1 s' FROM outbox_log GROUP BY pos / 500""",
)
_LEDGER_ROWS = r"""
    SELECT o.id, r.touched, o.total_amount, o.partner, to_char(o.created_at, 'YYYY-MM-DD"T"HH24\:MI\:SS.US"Z"') AS at,
        x.amount AS given, o.status = 'CANCELLED' AS cancelled
    FROM uoop_orders o JOIN runs r ON r.id = o.run_id LEFT JOIN refunds x ON x.order_id = o.id ORDER BY o.run_id
"""
_EVENT_ROWS = """
    SELECT pos, id, tenant_id, order_id, sequence, type, data, at FROM outbox_log
    WHERE pos > (SELECT max(pos) FROM outbox_log) - :entries ORDER BY day, pos
"""


def write(engine: Engine, orders: int) -> None:
    """Write the history of so many orders into an empty, prepared database."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        numbers = {
            "orders": orders,
            "rate": ORDERS_PER_S,
            "size": COHORT_SIZE,
            "restaurants": RESTAURANTS,
            "ago_ms": (_ENDED_AGO_S + orders // ORDERS_PER_S) * 1000,
        }
        connection.execute(text(_ORDERS), numbers)
        for statement in _TABLES:
            connection.execute(text(statement))


def publish(engine: Engine, ledger: "redis.Redis", events: "redis.Redis") -> None:
    """Give the capacity ledger and the event stream what Postgres has."""
    capacity.rebuild(engine, HoldLedger(ledger))
    sink = RedisStream(events)
    with _patient(engine) as connection:
        rows = connection.execution_options(yield_per=_EVENTS_PER_WRITE).execute(
            text(_EVENT_ROWS), {"entries": MAX_ENTRIES}
        )
        for part in rows.partitions():
            sink.publish([Event(*row) for row in part])


def record(engine: Engine, path: Path) -> None:
    """Write what the providers did into a new ledger of the sandbox."""
    ledger = Ledger(path)
    with _patient(engine) as connection:
        part: list[Line] = []
        for line in _lines(connection, ledger):
            part.append(line._replace(seq=ledger.last_seq + len(part) + 1))
            if len(part) == _LINES_PER_WRITE:
                ledger.record(part)
                part = []
        ledger.record(part)
    ledger.close()


def journal(engine: Engine, path: Path) -> None:
    """Write what the client knows."""
    with _patient(engine) as connection, path.open("w") as file:
        for order_id, key in connection.execute(text("SELECT order_id, key FROM idempotency_keys")):
            file.write(f'{{"id":"{order_id}","key":"{key}","sent_at":1.0,"accepted_at":2.0}}\n')


@contextmanager
def _patient(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SET idle_in_transaction_session_timeout = 0"))
        yield connection


def _lines(connection: Connection, ledger: Ledger) -> Iterator[Line]:
    authorizations = ledger.place(PAYMENT, Resource.AUTHORIZATIONS)
    captures = ledger.place(PAYMENT, Resource.CAPTURES)
    placements = ledger.place(RESTAURANT, Resource.PLACEMENTS)
    refunds = ledger.place(PAYMENT, Resource.REFUNDS)
    dispatches = {partner: ledger.place(partner, Resource.DISPATCHES) for partner in PARTNERS}
    rows = connection.execution_options(yield_per=10_000).execute(text(_LEDGER_ROWS))
    for order, touched, total, partner, at, given, cancelled in rows:
        amount, paid = str(total), f"{order}:authorize-payment:0"
        place = f"{order}:place-with-restaurant:0"
        if touched == 0b111:  # refused by payment
            yield Line(0, authorizations, paid, "tombstone", order, at, None, None, None)
            continue
        yield Line(0, authorizations, paid, "do", order, at, amount, "BHD", None)
        yield Line(0, placements, place, "do", order, at, None, None, None)
        if touched == 0b111111:  # refused by every partner
            for name, number in dispatches.items():
                key = f"{order}:dispatch-to-partner:{name}:0"
                yield Line(0, number, key, "tombstone", order, at, None, None, None)
            yield Line(0, placements, place, "undo", order, at, None, None, None)
            yield Line(0, authorizations, paid, "undo", order, at, amount, "BHD", None)
            continue
        if partner in dispatches:
            key = f"{order}:dispatch-to-partner:{partner}:0"
            yield Line(0, dispatches[partner], key, "do", order, at, None, None, None)
        taken = f"{order}:capture-payment:0"
        yield Line(0, captures, taken, "do", order, at, amount, "BHD", paid)
        if cancelled:
            key = f"{order}:dispatch-to-partner:{partner}:0"
            yield Line(0, dispatches[partner], key, "undo", order, at, None, None, None)
            yield Line(0, placements, place, "undo", order, at, None, None, None)
        if given:
            key = f"{order}:{'return-money' if cancelled else 'refund-payment'}:1"
            yield Line(0, refunds, key, "do", order, at, str(given), "BHD", taken)
