"""
Acceptance: idempotency key, order, run and event of many submissions in one transaction.

Keys and external ids are locked by name before they are read, and nobody waits: whoever comes second while the first
is under way is told so, and later reads what it has committed. That holds across the partitions of the keys' table as
well, where no unique index could.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import uuid_utils
from sqlalchemy import Connection, Engine, text

from app import database
from app.database import Prepared, rows
from app.orders.model import LEAD, Accepted, ExternalIdTaken, InFlight, KeyReused, NewOrder
from app.runs.model import FRONT

Answer = Accepted | KeyReused | ExternalIdTaken | InFlight

# Two statements in one message: the second must see all that was committed before the first got its locks. What the
# first could not lock it leaves in a setting, since only the last result is heard. An external id is tried only by
# who has its key, so that of two who want the same names one gets them all.
_LOCK = Prepared(
    "lock_names(text[], text[])",
    """
    SELECT set_config('uoop.in_flight',
        concat_ws(',', nullif(current_setting('uoop.in_flight', true), ''), n - 1), true)
    FROM unnest($1, $2) WITH ORDINALITY AS a(key, external_id, n)
    WHERE CASE WHEN pg_try_advisory_xact_lock(hashtextextended(key, 0))
        THEN NOT pg_try_advisory_xact_lock(hashtextextended(external_id, 0)) ELSE true END
    """,
)

# $1 rows, $2 lead, $3 saga, $4 its version, $5 and $6 the same of an order for later
_ROW = """n integer, id text, tenant_id text, key text, fingerprint text, customer_id text, restaurant_id text,
    items jsonb, delivery_location jsonb, total_amount numeric, currency text, fees jsonb, external_order_id text,
    window_from timestamptz, window_until timestamptz, channel_preference text, notes text,
    confirm_within_s integer, lane text, trace text"""
_NEW = "time_id() AS run_id, *, greatest(now(), window_from - $2) AS release_at"
_WRITE = """
    orders AS (
        INSERT INTO uoop_orders (id, tenant_id, customer_id, restaurant_id, status, items, delivery_location,
            total_amount, currency, fees, external_order_id, window_from, window_until, channel_preference, notes,
            run_id, trace)
        SELECT id, tenant_id, customer_id, restaurant_id, 'PENDING', items, delivery_location, total_amount,
            currency, fees, external_order_id, window_from, window_until, channel_preference, notes, run_id, trace
        FROM new
    ), starts AS (
        INSERT INTO runs (id, order_id, tenant_id, saga, version, lane, due_at, not_after)
        SELECT new.run_id, new.id, new.tenant_id,
            CASE WHEN new.release_at > now() THEN $5 ELSE $3 END,
            CASE WHEN new.release_at > now() THEN $6 ELSE $4 END, new.lane, now(),
            new.release_at + make_interval(secs => coalesce(new.confirm_within_s, tenants.order_deadline_s))
        FROM new JOIN tenants ON tenants.id = new.tenant_id
    ), events AS (
        INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, trace)
        SELECT tenant_id, id, 1, 'order.accepted', '{"status":"PENDING"}', trace FROM new
    )"""
_TYPES = "(json, interval, text, smallint, text, smallint)"

_ACCEPT = Prepared(
    f"accept_orders{_TYPES}",
    f"""
    WITH asked AS MATERIALIZED (
        SELECT a.*, k.order_id AS known_as, k.fingerprint AS known_print, k.created_at AS known_at, e.taken_by,
            coalesce(n = ANY (CAST(string_to_array(current_setting('uoop.in_flight', true), ',') AS integer[])),
                false) AS in_flight
        FROM json_to_recordset($1) AS a({_ROW})
        LEFT JOIN LATERAL (SELECT order_id, fingerprint, created_at FROM idempotency_keys
            WHERE tenant_id = a.tenant_id AND key = a.key LIMIT 1) k ON true
        LEFT JOIN LATERAL (SELECT order_id AS taken_by FROM external_order_ids
            WHERE tenant_id = a.tenant_id AND external_order_id = a.external_order_id LIMIT 1) e ON true
    ), new AS MATERIALIZED (
        SELECT {_NEW} FROM asked
        WHERE id IS NOT NULL AND known_as IS NULL AND taken_by IS NULL AND NOT in_flight
    ), {_WRITE}, keys AS (
        INSERT INTO idempotency_keys (tenant_id, key, fingerprint, order_id)
        SELECT tenant_id, key, fingerprint, id FROM new
    ), external AS (
        INSERT INTO external_order_ids (tenant_id, external_order_id, order_id)
        SELECT tenant_id, external_order_id, id FROM new WHERE external_order_id IS NOT NULL
    )
    SELECT NULL AS n, NULL AS known_as, NULL AS known_print, now() AS known_at, NULL AS taken_by
    UNION ALL
    SELECT n, known_as, known_print, known_at, CASE WHEN NOT in_flight THEN taken_by END FROM asked
    WHERE known_as IS NOT NULL OR taken_by IS NOT NULL OR in_flight
    """,
)

_IN_ONE_MESSAGE = text(
    "EXECUTE lock_names(:keys, :external_ids);"
    "EXECUTE accept_orders(:rows, :lead, :saga, :version, :later_saga, :later_version)"
)

# Plans are kept for as long as the session lives, so they must not depend on how small a table was when they were made
_SESSION = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


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


def engine(url: str, *, pool_size: int) -> Engine:
    """For :func:`accept`: the one message is a transaction without BEGIN and COMMIT on ways of their own."""
    return database.engine(url, pool_size=pool_size, session=_SESSION, autocommit=True)


def accept(connection: Connection, batch: Sequence[NewOrder], start: StartWith) -> list[Answer]:
    """
    Accept a batch; one answer per submission, in order. All in one message: of a connection in autocommit it is one
    transaction by itself, else nothing holds before the transaction is committed.

    Of those in the batch that want the same name one is accepted, and the others are told as if they had come after
    it; should it be refused they are in flight. A key that is committed is replayed, whoever has its lock.
    """
    ids = _ids_of_candidates(batch)
    accepted_at, refused = _ask(connection, batch, ids, start)
    names: dict[tuple[str, str, str], int] = {}  # who has been accepted under them
    for n in ids.keys() - refused.keys():
        names |= dict.fromkeys(_names(batch[n]), n)
    answers: list[Answer] = []
    for n, new in enumerate(batch):
        key, *external = _names(new)
        if n in refused:
            answers.append(refused[n])
        elif names.get(key) == n:
            answers.append(Accepted(ids[n], accepted_at, replayed=False))
        elif key in names:
            answers.append(_replay(new, ids[names[key]], batch[names[key]].fingerprint, accepted_at))
        elif external and external[0] in names:
            answers.append(ExternalIdTaken(order_id=ids[names[external[0]]]))
        else:
            answers.append(InFlight())
    return answers


def _names(new: NewOrder) -> list[tuple[str, str, str]]:
    """Its key, and its external id if it has one."""
    key = ("key", new.tenant_id, new.idempotency_key)
    external_id = new.order.external_order_id
    return [key, ("external", new.tenant_id, external_id)] if external_id else [key]


def _ids_of_candidates(batch: Sequence[NewOrder]) -> dict[int, str]:
    """An order id for the first of those that want the same name, by place in the batch."""
    ids: dict[int, str] = {}
    wanted: set[tuple[str, str, str]] = set()
    for n, new in enumerate(batch):
        names = _names(new)
        if wanted.isdisjoint(names):
            wanted.update(names)
            ids[n] = str(uuid_utils.uuid7())
    return ids


def _ask(
    connection: Connection, batch: Sequence[NewOrder], ids: Mapping[int, str], start: StartWith
) -> tuple[datetime, dict[int, Answer]]:
    """When the candidates were accepted, and who was not, by place in the batch."""
    database.prepare(connection, _LOCK, _ACCEPT)
    asked = [_row(n, ids.get(n), new, start.lane(new.tenant_id)) for n, new in enumerate(batch)]
    names = {
        "keys": [f"key {new.tenant_id} {new.idempotency_key}" for new in batch],
        "external_ids": [
            f"external {new.tenant_id} {external_id}"
            if (external_id := new.order.external_order_id)
            else None
            for new in batch
        ],
    }
    told = {row.n: row for row in connection.execute(_IN_ONE_MESSAGE, {**names, **_parameters(asked, start)})}
    accepted_at: datetime = told.pop(None).known_at
    refused: dict[int, Answer] = {}
    for n, row in told.items():
        if row.known_as is not None:
            refused[n] = _replay(batch[n], row.known_as, row.known_print, row.known_at)
        else:
            refused[n] = ExternalIdTaken(order_id=row.taken_by) if row.taken_by else InFlight()
    return accepted_at, refused


def _parameters(asked: list[dict[str, Any]], start: StartWith) -> dict[str, Any]:
    return {
        "rows": rows(asked),
        "lead": LEAD,
        "saga": start.saga,
        "version": start.version,
        "later_saga": start.later[0],
        "later_version": start.later[1],
    }


def _row(n: int, order_id: str | None, new: NewOrder, lane: str) -> dict[str, Any]:
    order = new.order
    window = order.requested_window
    return {
        "n": n,
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
