"""What happens to an order after its acceptance: each change in one statement with its event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from app.database import rows
from app.orders.model import Status


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What is promised to the customer."""

    order_id: str
    channel: str
    partner: str
    eta: datetime


def confirm(connection: Connection, confirmations: Sequence[Confirmation]) -> None:
    """PENDING orders become CONFIRMED; others stay as they are."""
    connection.execute(
        text("""
            WITH changed AS (
                UPDATE uoop_orders o SET status = 'CONFIRMED', channel = c.channel, partner = c.partner, eta = c.eta,
                    version = o.version + 1, updated_at = clock_timestamp()
                FROM json_to_recordset(CAST(:rows AS json))
                AS c(order_id text, channel text, partner text, eta timestamptz)
                WHERE o.id = c.order_id AND o.status = 'PENDING'
                RETURNING o.id, o.tenant_id, o.version, o.channel, o.partner, o.eta, o.created_at, o.trace
            )
            INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, trace)
            SELECT tenant_id, id, version, 'order.confirmed', json_build_object('status', 'CONFIRMED',
                'channel', channel, 'partner', partner, 'eta', eta, 'accepted_at', created_at), trace FROM changed
        """),
        {"rows": rows(confirmations)},
    )


def fail(connection: Connection, failures: Mapping[int, Mapping[str, object]]) -> None:
    """
    PENDING orders become FAILED, or CANCELLED if that was asked for; all that was begun has been undone.

    :param failures: by run id; with `code`, `step`, `compensated`, and `next_window` if one is offered
    """
    connection.execute(
        text("""
            WITH changed AS (
                UPDATE uoop_orders o SET status = CASE f.failure ->> 'code' WHEN 'cancelled' THEN :cancelled
                    ELSE :failed END, failure = f.failure, version = o.version + 1, updated_at = clock_timestamp()
                FROM json_to_recordset(CAST(:rows AS json)) AS f(run_id bigint, failure jsonb)
                JOIN runs r ON r.id = f.run_id
                WHERE o.id = r.order_id AND o.status = 'PENDING'
                RETURNING o.id, o.tenant_id, o.version, o.status, o.failure, o.created_at, o.trace
            )
            INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, trace)
            SELECT tenant_id, id, version, 'order.' || lower(status), json_build_object('status', status,
                'code', failure -> 'code', 'compensated', failure -> 'compensated', 'accepted_at', created_at,
                'next_window', failure -> 'next_window'), trace
            FROM changed
        """),
        {
            "rows": rows([{"run_id": run_id, "failure": failure} for run_id, failure in failures.items()]),
            "failed": Status.FAILED,
            "cancelled": Status.CANCELLED,
        },
    )


def cancel(connection: Connection, order_ids: Sequence[str]) -> None:
    """Promised orders become CANCELLED, all that was done for them having been taken back; others stay as they are."""
    connection.execute(
        text("""
            WITH changed AS (
                UPDATE uoop_orders SET status = 'CANCELLED', version = version + 1, updated_at = clock_timestamp(),
                    failure = '{"code": "cancelled", "step": null, "compensated": true}'
                WHERE id = ANY(:ids) AND status NOT IN ('CANCELLED', 'FAILED')
                RETURNING id, tenant_id, version, created_at, trace
            )
            INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, trace)
            SELECT tenant_id, id, version, 'order.cancelled', json_build_object('status', 'CANCELLED',
                'code', 'cancelled', 'compensated', true, 'accepted_at', created_at, 'next_window', NULL), trace
            FROM changed
        """),
        {"ids": sorted(order_ids)},
    )


def refuse_cancellation(connection: Connection, failures: Mapping[int, Mapping[str, object]]) -> None:
    """
    Tell that promised orders stay as they are, though they were to be cancelled.

    :param failures: by the id of the run that was to cancel; with `code`
    """
    connection.execute(
        text("""
            WITH changed AS (
                UPDATE uoop_orders o SET version = o.version + 1
                FROM json_to_recordset(CAST(:rows AS json)) AS f(run_id bigint, code text)
                JOIN runs r ON r.id = f.run_id
                WHERE o.id = r.order_id AND o.status NOT IN ('CANCELLED', 'FAILED')
                RETURNING o.id, o.tenant_id, o.version, o.status, f.code, o.trace
            )
            INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, trace)
            SELECT tenant_id, id, version, 'order.cancellation-refused',
                json_build_object('status', status, 'code', code), trace FROM changed
        """),
        {"rows": rows([{"run_id": run_id, "code": f["code"]} for run_id, f in failures.items()])},
    )
