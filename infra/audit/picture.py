"""
The pictures that the checks look at: one row per order, from one snapshot of Postgres and what `load` copied.

`now()` is when the snapshot was taken, after the other stores were read. The ledger keeps expiries in whole
seconds: `unexpired` leaves a margin, and what expires within it is not compared.

`settled` says that the order had come to its end, and was not on its way to another partner, before the other stores
were read, so that they must know all of it; `still` the same of its runs, which must not be moving either.
`wavering` is an order that a run is about to cancel after its promise, `recalled_later` one that it has cancelled.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, text

from app import time_ids
from app.capacity.model import WINDOW_S
from app.deliveries.model import MOVES
from app.orders.model import Status
from app.outbox.model import EventType
from app.outbox.relay import REPUBLISHED_AFTER_LOSS
from app.partitions import TABLES
from sagas.all import SAGAS
from sagas.cancel_confirmed_order import CANCEL_CONFIRMED_ORDER
from sagas.definition import Saga
from sagas.refund_order import REFUND_ORDER
from sagas.steps import release_capacity

_RETENTION = {table.table: table.retention for table in TABLES}
_SILENT = (  # no new status
    f"('{EventType.REFUNDED}', '{EventType.CANCELLATION_REFUSED}', '{EventType.REROUTED}', "
    f"'{EventType.ASSIGNMENT_CHANGED}')"
)
_CANCEL = CANCEL_CONFIRMED_ORDER
_FULFILLING = [saga for saga in SAGAS if not saga.is_follow_up]
(_RESERVE,) = {saga.numbers["reserve-capacity"] for saga in _FULFILLING}


def _by_saga(value: Callable[[Saga], int]) -> str:
    """An expression over `r.saga`."""
    return "".join(
        ("CASE r.saga", *(f" WHEN '{saga.name}' THEN {value(saga)}" for saga in _FULFILLING), " END")
    )


def _allowed_moves() -> str:
    """Pairs of statuses, as SQL."""
    moves = [(Status.PENDING, Status.CONFIRMED), *((a, b) for a, targets in MOVES.items() for b in targets)]
    return ", ".join(f"('{before}', '{after}')" for before, after in moves)


_EFFECTS = """
    CREATE TEMP TABLE audit_effects AS SELECT order_id,
        count(*) FILTER (WHERE resource = 'authorizations' AND op = 'do')::integer AS authorized,
        count(*) FILTER (WHERE resource = 'authorizations' AND op = 'undo')::integer AS voided,
        count(*) FILTER (WHERE resource = 'captures' AND op = 'do')::integer AS captured,
        count(*) FILTER (WHERE resource = 'captures' AND op = 'undo')::integer AS refunded,
        count(*) FILTER (WHERE resource = 'refunds' AND op = 'do')::integer AS repaid,
        coalesce(sum(CASE op WHEN 'do' THEN amount ELSE -amount END) FILTER (WHERE resource = 'captures'), 0)
            AS taken_amount,
        coalesce(sum(CASE op WHEN 'do' THEN amount ELSE -amount END) FILTER (WHERE resource = 'refunds'), 0)
            AS repaid_amount,
        count(*) FILTER (WHERE resource = 'placements' AND op = 'do')::integer AS placed,
        count(*) FILTER (WHERE resource = 'placements' AND op = 'undo')::integer AS withdrawn,
        count(*) FILTER (WHERE resource = 'dispatches' AND op = 'do')::integer AS dispatched,
        count(*) FILTER (WHERE resource = 'dispatches' AND op = 'undo')::integer AS recalled,
        min(amount) FILTER (WHERE resource = 'authorizations' AND op = 'do') AS authorized_amount,
        min(currency) FILTER (WHERE resource = 'authorizations' AND op = 'do') AS authorized_currency,
        min(amount) FILTER (WHERE resource = 'captures' AND op = 'do') AS captured_amount,
        min(currency) FILTER (WHERE resource = 'captures' AND op = 'do') AS captured_currency,
        min(provider) FILTER (WHERE resource = 'dispatches' AND op = 'do') AS dispatched_to
    FROM audit_lines WHERE op <> 'tombstone' GROUP BY order_id
"""
# Keys one by one, but only of the few orders with several effects of a kind: elsewhere once is once.
_EFFECT_KEYS = """
    CREATE TEMP TABLE audit_effect_keys AS
    SELECT provider, resource, key, min(order_id) AS order_id, count(*) FILTER (WHERE op = 'do') AS dos,
        count(*) FILTER (WHERE op = 'undo') AS undos
    FROM audit_lines WHERE op <> 'tombstone' AND order_id IN (SELECT order_id FROM audit_effects
        WHERE greatest(authorized, captured, repaid, placed, dispatched) > 1
        OR voided > authorized OR refunded > captured OR withdrawn > placed OR recalled > dispatched)
    GROUP BY provider, resource, key
"""
_FLEET = """
    CREATE TEMP TABLE audit_fleet AS SELECT order_id, count(*)::integer AS pooled
    FROM fleet_pool WHERE state = 'pooled' GROUP BY order_id
"""
_KEYS = """
    CREATE TEMP TABLE audit_keys AS SELECT order_id, count(*)::integer AS keys, min(key) AS key,
        min(tenant_id) AS tenant_id FROM idempotency_keys GROUP BY order_id
"""
# In the door's own order: what is still in the inbox comes after all that is in the log.
_EVENTS = f"""
    CREATE TEMP TABLE audit_events AS
    SELECT order_id, count(*)::integer AS events, min(sequence) AS first_sequence, max(sequence) AS last_sequence,
        min(type) FILTER (WHERE sequence = 1) AS first_type, max(type) FILTER (WHERE is_last) AS last_type,
        bool_or(coalesce(place <= place_before, false)) AS disordered
    FROM (
        SELECT order_id, sequence, type, place, lag(place) OVER one_order AS place_before,
            sequence = max(sequence) FILTER (WHERE type NOT IN {_SILENT}) OVER whole_order AS is_last
        FROM (
            SELECT order_id, sequence, type, pos AS place FROM outbox_log
            UNION ALL SELECT order_id, sequence, type, (1::bigint << 62) + id FROM outbox_in
        ) events WHERE type NOT LIKE 'webhook.%' WINDOW one_order AS (PARTITION BY order_id ORDER BY sequence),
            whole_order AS (PARTITION BY order_id)
    ) ordered GROUP BY order_id
"""
_TOLD = f"""
    CREATE TEMP TABLE audit_told AS SELECT o.id AS order_id, o.status, o.version, v.events, v.first_sequence,
        v.last_sequence, v.first_type, v.last_type, v.disordered
    FROM uoop_orders o LEFT JOIN audit_events v ON v.order_id = o.id WHERE o.run_id IS NOT NULL
    AND o.created_at > now() - make_interval(secs => {_RETENTION["outbox_log"].total_seconds()})
"""
# A travelling run's bits are those of its last departure: what it has reached since stands in the outcomes.
_TRAVELLING_HOLDS = f"""
    CREATE TEMP TABLE audit_travelling AS
    SELECT r.id, bool_or(o.verdict = 'd') AND NOT bool_or(o.verdict = 'u') AS holds
    FROM runs r JOIN outcomes o ON o.run_id = r.id AND o.step = {_RESERVE} WHERE r.state = 't' GROUP BY r.id
"""
# Few orders have follow-ups. What has been done in one that travels stands in its outcomes alone.
_FOLLOW_UPS = f"""
    CREATE TEMP TABLE audit_follow_ups AS
    SELECT f.order_id, bool_or(r.saga = '{_CANCEL.name}' AND r.state <> 'e') AS wavering,
        bool_or(r.saga = '{_CANCEL.name}' AND r.state = 'e' AND r.failure IS NULL) AS recalled_later,
        bool_or(r.saga = '{_CANCEL.name}' AND EXISTS (SELECT FROM outcomes x WHERE x.run_id = r.id
            AND x.step = {_CANCEL.numbers[release_capacity.NAME]} AND x.verdict = 'd')) AS place_released,
        bool_and(r.state <> 't' AND r.updated_at <= m.began) AS still
    FROM follow_ups f JOIN runs r ON r.id = f.run_id CROSS JOIN audit_moment m GROUP BY f.order_id
"""
# Refunds by our books and at the provider, by the generation of their keys.
_REFUNDS = f"""
    CREATE TEMP TABLE audit_refunds AS
    SELECT coalesce(told.order_id, given.order_id) AS order_id, told.amount AS told, given.amount AS given,
        coalesce(told.at <= m.began, false) AS must_be_given, r.id IS NOT NULL AS wanted,
        coalesce(r.state = 'e' AND r.updated_at <= m.began, false) AS must_be_told,
        o.created_at > now() - make_interval(secs => {_RETENTION["runs"].total_seconds()}) AS kept
    FROM (SELECT x.order_id, f.nth, x.amount, x.at FROM refunds x JOIN follow_ups f ON f.run_id = x.run_id) told
    FULL JOIN (SELECT order_id, split_part(key, ':', 3)::smallint AS nth, sum(amount) AS amount
        FROM audit_lines WHERE resource = 'refunds' AND op = 'do' GROUP BY 1, 2) given
        ON (given.order_id, given.nth) = (told.order_id, told.nth)
    LEFT JOIN follow_ups f ON f.order_id = coalesce(told.order_id, given.order_id)
        AND f.nth = coalesce(told.nth, given.nth)
    LEFT JOIN runs r ON r.id = f.run_id AND r.saga IN ('{REFUND_ORDER.name}', '{_CANCEL.name}')
    LEFT JOIN uoop_orders o ON o.id = coalesce(told.order_id, given.order_id)
    CROSS JOIN audit_moment m
"""
# What operators did to runs that departs from what their sagas would have done.
_ACTS = """
    CREATE TEMP TABLE audit_acts AS
    SELECT run_id, bool_or(act = 'terminate') AS terminated, bool_or(act = 'skip') AS skipped,
        bool_or(act = 'skip' AND step = 'place-with-restaurant') AS unplaced,
        bool_or(act = 'skip' AND step = 'capture-payment') AS uncaptured
    FROM ops_acts WHERE run_id IS NOT NULL GROUP BY run_id
"""
# A run that waits for a resume is due when its time is over, or, past the pivot and being undone, not at all.
_FURTHER = "slot ~ '^(zone|channel|partner):'"  # beside the kitchen's
_ORDERS = f"""
    CREATE TEMP TABLE audit_orders AS
    SELECT coalesce(o.id, e.order_id) AS order_id, o.id IS NOT NULL AS known, o.tenant_id, o.restaurant_id, o.status,
        o.status IN ('FAILED', 'CANCELLED') AS undone_order, o.total_amount, o.currency, o.partner, o.version,
        o.run_id, o.failure, o.created_at,
        o.status <> 'PENDING' AND o.updated_at <= m.began AND o.rerouting IS NULL AS settled, o.rerouting,
        o.created_at > now() - make_interval(secs => {_RETENTION["runs"].total_seconds()}) AS kept,
        r.id IS NOT NULL AND r.tenant_id = o.tenant_id AS has_run, r.state, r.direction, r.stage, r.gated,
        r.done, r.touched, r.undone, r.not_after, r.failure AS run_failure,
        {_by_saga(lambda saga: saga.compensable)} AS compensable,
        {_by_saga(lambda saga: len(saga.stages) - 1)} AS last_stage,
        r.state <> 't' AND r.updated_at <= m.began AND coalesce(u.still, true) AS still,
        coalesce(u.wavering, false) AS wavering, coalesce(u.recalled_later, false) AS recalled_later,
        'terminated' IN (o.failure ->> 'code', r.failure ->> 'code') AS terminated,
        coalesce(a.terminated, false) AND 'terminated' = o.failure ->> 'code' AS by_operator,
        coalesce(a.skipped, false) AS skipped, coalesce(a.unplaced, false) AS unplaced,
        coalesce(a.uncaptured, false) AS uncaptured,
        r.state = 'w' AND r.due_at > now() AND EXISTS (SELECT FROM pauses p
            WHERE starts_with(r.lane, 'paused:' || p.kind || ':')
            AND p.name = ANY(string_to_array(split_part(r.lane, ':', 3), ','))) AS held_back,
        (SELECT max(at) FROM ops_acts WHERE act = 'resume') AS last_resume,
        coalesce(e.authorized, 0) AS authorized, coalesce(e.voided, 0) AS voided,
        coalesce(e.captured, 0) AS captured, coalesce(e.refunded, 0) AS refunded,
        coalesce(e.repaid, 0) AS repaid, coalesce(e.taken_amount, 0) AS taken_amount,
        coalesce(e.repaid_amount, 0) AS repaid_amount,
        coalesce(e.placed, 0) AS placed, coalesce(e.withdrawn, 0) AS withdrawn,
        coalesce(e.dispatched, 0) AS dispatched, coalesce(e.recalled, 0) AS recalled,
        e.authorized_amount, e.authorized_currency, e.captured_amount, e.captured_currency, e.dispatched_to,
        coalesce(f.pooled, 0) AS pooled, k.keys, k.key, k.tenant_id AS key_tenant_id,
        h.slot, h.run_id IS NOT NULL AND h.released_at IS NULL AS held,
        h.expires_at > now() + interval '2 s' AS unexpired,
        coalesce(t.holds, r.done >> {_RESERVE} & 1 = 1 AND r.undone >> {_RESERVE} & 1 = 0)
            AND NOT coalesce(u.place_released, false) AS must_hold,
        o.tenant_id || '/' || o.restaurant_id || '/' || coalesce(
            floor(extract(epoch FROM o.window_from))::bigint / {WINDOW_S} * {WINDOW_S},
            (r.id >> {time_ids.SHIFT}) / ({WINDOW_S} * 1000) * {WINDOW_S}) AS right_slot,
        h.more, l.slot AS ledger_slot, l.entries AS ledger_entries, coalesce(l.others, 0) AS ledger_others
    FROM uoop_orders o FULL JOIN audit_effects e ON e.order_id = o.id
    LEFT JOIN runs r ON r.id = o.run_id AND r.order_id = o.id
    LEFT JOIN audit_travelling t ON t.id = r.id
    LEFT JOIN audit_follow_ups u ON u.order_id = o.id
    LEFT JOIN audit_acts a ON a.run_id = r.id
    LEFT JOIN audit_fleet f ON f.order_id = o.id
    LEFT JOIN audit_keys k ON k.order_id = o.id
    LEFT JOIN capacity_holds h ON h.run_id = o.run_id AND h.order_id = o.id
    LEFT JOIN (SELECT order_id, min(slot) FILTER (WHERE NOT {_FURTHER}) AS slot,
            count(*) FILTER (WHERE NOT {_FURTHER}) AS entries, count(*) FILTER (WHERE {_FURTHER}) AS others
        FROM audit_ledger WHERE expiry > extract(epoch FROM now()) GROUP BY order_id) l ON l.order_id = o.id
    CROSS JOIN audit_moment m
"""
_FAILED = """
    CREATE TEMP TABLE audit_undoing AS
    SELECT o.order_id, o.run_id, o.touched, o.undone, o.failure, o.compensable,
        coalesce(bit_or(1 << x.step) FILTER (WHERE x.verdict NOT IN ('u', 'l')), 0) AS intended,
        coalesce(bit_or(1 << x.step) FILTER (WHERE x.verdict = 'u'), 0) AS proven
    FROM audit_orders o LEFT JOIN outcomes x ON x.run_id = o.run_id
    WHERE o.undone_order AND o.has_run AND NOT o.by_operator AND NOT o.recalled_later GROUP BY 1, 2, 3, 4, 5, 6
"""
# What was held before a limit was lowered is not oversold: the highest that it ever was is what counts.
_SLOTS = """
    CREATE TEMP TABLE audit_slots AS
    SELECT s.slot, s.held, s.ledger_held, greatest(
        (SELECT max(l.highest) FROM capacity_limits l
            WHERE (l.tenant_id, l.kind, l.name) = (s.part[2], coalesce(s.part[1], 'kitchen'), s.part[3])
            AND l.window_from IN (to_timestamp(s.part[4]::float), '-infinity')),
        CASE WHEN s.part[1] IS NULL THEN coalesce(r.slot_capacity, m.capacity) END) AS capacity
    FROM (
        SELECT coalesce(t.slot, l.slot) AS slot, coalesce(t.held, 0) AS held, coalesce(l.held, 0) AS ledger_held,
            regexp_match(coalesce(t.slot, l.slot), '^(?:(zone|channel|partner):)?([^/]*)/(.*)/([0-9]+)$') AS part
        FROM (SELECT slot, count(*) FILTER (WHERE state <> 't' OR direction <> 'b') AS held FROM (
                SELECT slot, state, direction FROM audit_orders WHERE held AND unexpired
                UNION ALL SELECT unnest(more), state, direction FROM audit_orders
                WHERE held AND unexpired AND more IS NOT NULL
            ) places GROUP BY slot) t
        FULL JOIN (SELECT slot, count(*) AS held FROM audit_ledger
            WHERE expiry > extract(epoch FROM now()) GROUP BY slot) l ON l.slot = t.slot
    ) s LEFT JOIN restaurants r ON (r.tenant_id, r.id) = (s.part[2], s.part[3]) CROSS JOIN audit_moment m
"""
# Each move of a delivery with the status before it, and whether the table allows it.
_MOVES = f"""
    CREATE TEMP TABLE audit_moves AS SELECT order_id, (before, status) IN ({_allowed_moves()}) AS allowed FROM (
        SELECT order_id, status, lag(status) OVER (PARTITION BY order_id ORDER BY sequence) AS before FROM (
            SELECT order_id, sequence, CASE type WHEN '{EventType.ACCEPTED}' THEN 'PENDING'
                ELSE translate(upper(substr(type, 7)), '-', '_') END AS status
            FROM (SELECT order_id, sequence, type FROM outbox_log
                UNION ALL SELECT order_id, sequence, type FROM outbox_in) events WHERE type NOT IN {_SILENT}
        ) told
    ) moves WHERE before IS NOT NULL AND status IN ({", ".join(f"'{status}'" for status in MOVES)})
"""
# The relay goes forward over events: one is first delivered by what reaches beyond all that was delivered before.
_FIRST_DELIVERIES = """
    CREATE TEMP TABLE audit_first_deliveries AS
    SELECT generate_series(greatest(first_pos, reached + 1), last_pos) AS pos, delivered_at FROM (
        SELECT first_pos, last_pos, delivered_at, coalesce(max(last_pos) OVER (ORDER BY delivered_at, last_pos
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS reached
        FROM deliveries JOIN audit_moment m ON m.sink = deliveries.sink
    ) steps WHERE last_pos > reached
"""
# The last hour's events must be in the stream, however often Redis was emptied, but for those trimmed by number.
_STREAM = f"""
    CREATE TEMP TABLE audit_stream_log AS
    SELECT coalesce(l.pos, s.pos) AS pos, s.place IS NOT NULL AS in_stream, l.pos IS NOT NULL AS in_log,
        coalesce((l.id, l.sequence) = (s.id, s.sequence) AND (l.type = s.type OR s.type = '{EventType.WITHHELD}'
            AND EXISTS (SELECT FROM dead_letters d WHERE (d.sink, d.pos) = (m.sink, l.pos))), false) AS same,
        l.pos <= m.published AND l.at > m.began - make_interval(secs => {REPUBLISHED_AFTER_LOSS.total_seconds()})
            AND (b.entries < m.max_entries OR l.pos > b.first) AS must_be_in_stream,
        s.pos < kept.first AS before_log
    FROM outbox_log l FULL JOIN audit_stream s ON s.pos = l.pos CROSS JOIN audit_moment m
    CROSS JOIN (SELECT count(*) AS entries, coalesce(min(pos), 0) AS first FROM audit_stream) b
    CROSS JOIN (SELECT coalesce(min(pos), 0) AS first FROM outbox_log) kept
"""
# What is older than the log cannot be compared any more. `first`: consumers may have begun after the log did.
_HEARD = f"""
    CREATE TEMP TABLE audit_heard_log AS
    SELECT h.consumer, h.order_id, l.pos, coalesce(h.id = l.id AND (h.type = l.type OR h.type = '{EventType.WITHHELD}'
        AND EXISTS (SELECT FROM dead_letters d WHERE (d.sink, d.pos) = (h.consumer, l.pos))), h.id < kept.first) AS same
    FROM audit_heard h LEFT JOIN outbox_log l ON (l.order_id, l.sequence) = (h.order_id, h.sequence)
    CROSS JOIN (SELECT coalesce(min(id), 0) AS first FROM outbox_log) kept
    WHERE h.type <> '{EventType.WEBHOOK_TEST}'
"""
_CONSUMERS = """
    CREATE TEMP TABLE audit_consumers AS SELECT name, published, (SELECT coalesce(min(pos), 0) FROM audit_heard_log
        WHERE consumer = name) AS first FROM audit_at
"""
ORDERS = (
    _EFFECTS,
    _EFFECT_KEYS,
    _FLEET,
    _KEYS,
    _TRAVELLING_HOLDS,
    _FOLLOW_UPS,
    _REFUNDS,
    _ACTS,
    "ANALYZE audit_effects, audit_fleet, audit_keys, audit_travelling, audit_follow_ups, audit_acts",
    _ORDERS,
    "ANALYZE audit_orders",
    _FAILED,
    _SLOTS,
)
EVENTS = (
    _EVENTS,
    _MOVES,
    "ANALYZE audit_events",
    _TOLD,
    _FIRST_DELIVERIES,
    _STREAM,
    _HEARD,
    _CONSUMERS,
    "ANALYZE audit_told, audit_first_deliveries, audit_stream_log, audit_heard_log, audit_consumers",
)


def take(connection: Connection, statements: Sequence[str]) -> None:
    """Make the tables of one picture."""
    for statement in statements:
        connection.execute(text(statement))
