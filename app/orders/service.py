"""What happens to an order after its acceptance: each change in one statement with its event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from app.database import ids, rows
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
                RETURNING o.id, o.tenant_id, o.version, o.channel, o.partner, o.eta, o.created_at
            )
            INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data)
            SELECT tenant_id, id, version, 'order.confirmed', json_build_object('status', 'CONFIRMED',
                'channel', channel, 'partner', partner, 'eta', eta, 'accepted_at', created_at) FROM changed
        """),
        {"rows": rows(confirmations)},
    )


def fail(connection: Connection, failures: Mapping[int, Mapping[str, object]]) -> None:
    """
    PENDING orders become FAILED, or CANCELLED if that was asked for; all that was begun has been undone.

    :param failures: by run id; with `code`, `step` and `compensated`
    """
    connection.execute(
        text("""
            WITH changed AS (
                UPDATE uoop_orders o SET status = CASE f.failure ->> 'code' WHEN 'cancelled' THEN :cancelled
                    ELSE :failed END, failure = f.failure, version = o.version + 1, updated_at = clock_timestamp()
                FROM json_to_recordset(CAST(:rows AS json)) AS f(run_id bigint, failure jsonb)
                JOIN runs r ON r.id = f.run_id
                WHERE o.id = r.order_id AND o.status = 'PENDING'
                RETURNING o.id, o.tenant_id, o.version, o.status, o.failure, o.created_at
            )
            INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data)
            SELECT tenant_id, id, version, 'order.' || lower(status), json_build_object('status', status,
                'code', failure -> 'code', 'compensated', failure -> 'compensated', 'accepted_at', created_at)
            FROM changed
        """),
        {
            "rows": rows([{"run_id": run_id, "failure": failure} for run_id, failure in failures.items()]),
            "failed": Status.FAILED,
            "cancelled": Status.CANCELLED,
        },
    )


@dataclass(frozen=True, slots=True)
class Rerouting:
    """
    What is promised anew, by another partner.

    :param run_id: of the run that has found him
    """

    run_id: int
    order_id: str
    channel: str
    partner: str
    eta: datetime


def mark_rerouting(connection: Connection, runs: Mapping[str, int]) -> None:
    """Note by order which run takes it from its partner: what he reports waits until that has ended."""
    connection.execute(
        text("""
            UPDATE uoop_orders o SET rerouting = r.run_id
            FROM json_to_recordset(CAST(:rows AS json)) AS r(order_id text, run_id bigint) WHERE o.id = r.order_id
        """),
        {"rows": rows([{"order_id": order_id, "run_id": run_id} for order_id, run_id in runs.items()])},
    )


def reroute(connection: Connection, reroutings: Sequence[Rerouting]) -> None:
    """Orders have their new partner, and the customer is told; their status stays. Twice is once."""
    connection.execute(
        text("""
            WITH changed AS (
                UPDATE uoop_orders o SET channel = n.channel, partner = n.partner, eta = n.eta, rerouting = NULL,
                    version = o.version + 1, updated_at = clock_timestamp()
                FROM json_to_recordset(CAST(:rows AS json))
                AS n(run_id bigint, order_id text, channel text, partner text, eta timestamptz)
                WHERE o.id = n.order_id AND o.rerouting = n.run_id
                RETURNING o.id, o.tenant_id, o.version, o.status, o.channel, o.partner, o.eta, o.created_at
            )
            INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data)
            SELECT tenant_id, id, version, 'order.rerouted', json_build_object('status', status, 'channel', channel,
                'partner', partner, 'eta', eta, 'accepted_at', created_at) FROM changed
        """),
        {"rows": rows(reroutings)},
    )


def end_rerouting(connection: Connection, run_ids: Sequence[int]) -> None:
    """The orders stay with their partner: he does not give them back."""
    connection.execute(
        text("""
            UPDATE uoop_orders o SET rerouting = NULL FROM runs r
            WHERE r.id = ANY(CAST(:ids AS bigint[])) AND o.id = r.order_id AND o.rerouting = r.id
        """),
        {"ids": ids(run_ids)},
    )
