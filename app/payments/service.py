"""Writing down what was given back, in one statement with its event."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, text

from app.database import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """
    :param run_id: of the run that has given it back
    :param remaining: what can still be given back
    """

    run_id: int
    order_id: str
    amount: Decimal
    remaining: Decimal


def keep_refunds(connection: Connection, refunds: Sequence[Refund]) -> None:
    """Write down what was given back, and tell; twice is once."""
    connection.execute(
        text("""
            WITH asked AS (
                SELECT * FROM json_to_recordset(CAST(:rows AS json))
                AS r(run_id bigint, order_id text, amount numeric, remaining numeric)
            ), kept AS (
                INSERT INTO refunds (run_id, order_id, amount) SELECT run_id, order_id, amount FROM asked
                ON CONFLICT (run_id) DO NOTHING RETURNING run_id
            ), changed AS (
                UPDATE uoop_orders o SET version = o.version + 1
                FROM asked JOIN kept USING (run_id) WHERE o.id = asked.order_id
                RETURNING o.id, o.tenant_id, o.version, o.status, o.currency, asked.amount, asked.remaining,
                    o.trace
            )
            INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, trace)
            SELECT tenant_id, id, version, 'order.refunded', json_build_object('status', status,
                'amount', amount::text, 'currency', currency, 'remaining', remaining::text), trace FROM changed
        """),
        {
            "rows": rows(
                [
                    {
                        "run_id": refund.run_id,
                        "order_id": refund.order_id,
                        "amount": str(refund.amount),
                        "remaining": str(refund.remaining),
                    }
                    for refund in refunds
                ]
            )
        },
    )
