"""
Acceptance: idempotency key, order, run and event of many submissions in one transaction.

Keys and external ids are locked by name before they are read, and nobody waits: whoever comes second while the first
is under way is told so, and later reads what it has committed. That holds across the partitions of the keys' table as
well, where no unique index could.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import uuid_utils
from sqlalchemy import Connection, text

from app.database import rows
from app.orders.model import LEAD, Accepted, ExternalIdTaken, InFlight, KeyReused, NewOrder
from app.runs.model import FRONT

Answer = Accepted | KeyReused | ExternalIdTaken | InFlight

# Two statements in one round trip: the second must see all that was committed before the first got its locks. What
# the first could not lock it leaves in a setting, since only the last result is heard. An external id is tried
# only by who has its key, so that of two who want the same names one gets them all.
_LOCK_AND_READ = text("""
    SELECT set_config('uoop.in_flight',
        concat_ws(',', nullif(current_setting('uoop.in_flight', true), ''), n - 1), true)
    FROM unnest(CAST(:keys AS text[]), CAST(:external_ids AS text[])) WITH ORDINALITY AS a(key, external_id, n)
    WHERE CASE WHEN pg_try_advisory_xact_lock(hashtextextended(key, 0))
        THEN NOT pg_try_advisory_xact_lock(hashtextextended(external_id, 0)) ELSE true END;
    WITH asked AS (
        SELECT * FROM json_to_recordset(CAST(:asked AS json))
            AS a(n integer, tenant_id text, key text, external_id text)
    )
    SELECT 'key' AS kind, a.n, k.order_id, k.fingerprint, k.created_at
    FROM asked a JOIN idempotency_keys k ON (k.tenant_id, k.key) = (a.tenant_id, a.key)
    UNION ALL
    SELECT 'external', a.n, e.order_id, NULL, NULL
    FROM asked a JOIN external_order_ids e ON (e.tenant_id, e.external_order_id) = (a.tenant_id, a.external_id)
    UNION ALL
    SELECT 'in flight', CAST(n AS integer), NULL, NULL, NULL
    FROM string_to_table(current_setting('uoop.in_flight', true), ',') AS f(n)
""")

_INSERT = text("""
    WITH new AS MATERIALIZED (
        SELECT time_id() AS run_id, d.*, greatest(now(), d.window_from - CAST(:lead AS interval)) AS release_at
        FROM json_to_recordset(CAST(:rows AS json)) AS d(id text, tenant_id text, key text, fingerprint text,
            customer_id text, restaurant_id text, items jsonb, delivery_location jsonb, total_amount numeric,
            currency text, fees jsonb, external_order_id text, window_from timestamptz, window_until timestamptz,
            channel_preference text, notes text, confirm_within_s integer, lane text, trace text)
    ), orders AS (
        INSERT INTO uoop_orders (id, tenant_id, customer_id, restaurant_id, status, items, delivery_location,
            total_amount, currency, fees, external_order_id, window_from, window_until, channel_preference, notes,
            run_id, trace)
        SELECT id, tenant_id, customer_id, restaurant_id, 'PENDING', items, delivery_location, total_amount,
            currency, fees, external_order_id, window_from, window_until, channel_preference, notes, run_id, trace
        FROM new
    ), starts AS (
        INSERT INTO runs (id, order_id, tenant_id, saga, version, lane, due_at, not_after)
        SELECT new.run_id, new.id, new.tenant_id,
            CASE WHEN new.release_at > now() THEN :later_saga ELSE :saga END,
            CASE WHEN new.release_at > now() THEN :later_version ELSE :version END, new.lane, now(),
            new.release_at + make_interval(secs => coalesce(new.confirm_within_s, tenants.order_deadline_s))
        FROM new JOIN tenants ON tenants.id = new.tenant_id
    ), keys AS (
        INSERT INTO idempotency_keys (tenant_id, key, fingerprint, order_id)
        SELECT tenant_id, key, fingerprint, id FROM new
    ), external AS (
        INSERT INTO external_order_ids (tenant_id, external_order_id, order_id)
        SELECT tenant_id, external_order_id, id FROM new WHERE external_order_id IS NOT NULL
    ), events AS (
        INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, trace)
        SELECT tenant_id, id, 1, 'order.accepted', '{"status":"PENDING"}', trace FROM new
    )
    SELECT now()
""")


@dataclass(frozen=True, slots=True)
class StartWith:
    """
    The saga that a new order starts on.

    :param later: for an order whose window is so far off that it is not released yet
    :param lane: in which a tenant's new orders wait
    """

    saga: str
    version: int
    later: tuple[str, int]
    lane: Callable[[str], str] = lambda _: FRONT


def accept(connection: Connection, batch: Sequence[NewOrder], start: StartWith) -> list[Answer]:
    """
    Accept a batch; one answer per submission, in order. Nothing holds before the transaction is committed.

    Equal keys inside the batch collapse first: one is accepted, the others are its replays. A key that is committed
    is replayed, whoever has its lock.
    """
    known_keys, known_external, in_flight = _lock_and_read(connection, batch)
    answers: list[Answer | None] = [None] * len(batch)
    winners: dict[tuple[str, str], int] = {}
    external: dict[tuple[str, str], int] = {}
    ids: dict[int, str] = {}
    for n, new in enumerate(batch):
        key = (new.tenant_id, new.idempotency_key)
        external_key = (new.tenant_id, new.order.external_order_id or "")
        if n in known_keys:
            answers[n] = _replay(new, *known_keys[n])
        elif key in winners:
            continue
        elif n in in_flight:
            answers[n] = InFlight()
        elif n in known_external:
            answers[n] = ExternalIdTaken(order_id=known_external[n])
        elif new.order.external_order_id and external_key in external:
            answers[n] = ExternalIdTaken(order_id=ids[external[external_key]])
        else:
            winners[key] = n
            external[external_key] = n
            ids[n] = str(uuid_utils.uuid7())
    accepted_at = (
        _insert(connection, [(ids[n], batch[n]) for n in winners.values()], start) if winners else None
    )
    for n, new in enumerate(batch):
        if answers[n] is None and accepted_at is not None:
            first = winners[new.tenant_id, new.idempotency_key]
            if n == first:
                answers[n] = Accepted(ids[n], accepted_at, replayed=False)
            else:
                answers[n] = _replay(new, ids[first], batch[first].fingerprint, accepted_at)
    return [answer for answer in answers if answer is not None]


def _lock_and_read(
    connection: Connection, batch: Sequence[NewOrder]
) -> tuple[dict[int, tuple[str, str, datetime]], dict[int, str], set[int]]:
    key_names: list[str] = []
    external_names: list[str | None] = []
    asked: list[dict[str, Any]] = []
    for n, new in enumerate(batch):
        external_id = new.order.external_order_id
        key_names.append(f"key {new.tenant_id} {new.idempotency_key}")
        external_names.append(f"external {new.tenant_id} {external_id}" if external_id else None)
        asked.append(
            {"n": n, "tenant_id": new.tenant_id, "key": new.idempotency_key, "external_id": external_id}
        )
    result = connection.execute(
        _LOCK_AND_READ, {"keys": key_names, "external_ids": external_names, "asked": rows(asked)}
    )
    keys: dict[int, tuple[str, str, datetime]] = {}
    external: dict[int, str] = {}
    in_flight: set[int] = set()
    for kind, n, order_id, fingerprint, created_at in result:
        if kind == "key":
            keys[n] = order_id, fingerprint, created_at
        elif kind == "external":
            external[n] = order_id
        else:
            in_flight.add(n)
    return keys, external, in_flight


def _insert(connection: Connection, new: Sequence[tuple[str, NewOrder]], start: StartWith) -> datetime:
    accepted_at: datetime = connection.execute(
        _INSERT,
        {
            "rows": rows([_row(order_id, order, start.lane(order.tenant_id)) for order_id, order in new]),
            "lead": LEAD,
            "saga": start.saga,
            "version": start.version,
            "later_saga": start.later[0],
            "later_version": start.later[1],
        },
    ).scalar_one()
    return accepted_at


def _row(order_id: str, new: NewOrder, lane: str) -> dict[str, Any]:
    order = new.order
    window = order.requested_window
    return {
        "id": order_id,
        "tenant_id": new.tenant_id,
        "key": new.idempotency_key,
        "fingerprint": new.fingerprint,
        "customer_id": order.customer_id,
        "restaurant_id": order.restaurant_id,
        "items": order.items,
        "delivery_location": order.delivery_location,
        "total_amount": order.total_amount,
        "currency": order.currency,
        "fees": order.fees or None,
        "external_order_id": order.external_order_id,
        # in UTC: Postgres takes no offset above 15:59
        "window_from": window.start.astimezone(UTC) if window else None,
        "window_until": window.until.astimezone(UTC) if window else None,
        "channel_preference": order.channel_preference,
        "notes": order.notes,
        "confirm_within_s": order.confirm_within_s,
        "lane": lane,
        "trace": new.trace,
    }


def _replay(new: NewOrder, order_id: str, fingerprint: str, created_at: datetime) -> Accepted | KeyReused:
    if new.fingerprint != fingerprint:
        return KeyReused()
    return Accepted(order_id, created_at, replayed=True)
