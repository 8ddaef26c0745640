"""
How an order's money stands by our books.

A step that takes money tells `"money": "captured"` in its outcome's detail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, text

CAPTURED = {"money": "captured"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """
    :param captured: what was taken from the customer
    :param refunded: what was given back of it
    """

    order_id: str
    currency: str
    captured: Decimal
    refunded: Decimal

    @property
    def remaining(self) -> Decimal:
        """What can still be given back."""
        return self.captured - self.refunded


def accounts(connection: Connection, order_ids: Sequence[str]) -> dict[str, Account]:
    """By order id. An order whose run is no longer kept counts as not captured."""
    result = connection.execute(
        text("""
            SELECT o.id AS order_id, o.currency,
                CASE WHEN EXISTS (SELECT FROM outcomes x WHERE x.run_id = o.run_id AND x.verdict = 'd'
                    AND x.detail ->> 'money' = 'captured') THEN o.total_amount ELSE 0 END AS captured,
                coalesce((SELECT sum(f.amount) FROM refunds f WHERE f.order_id = o.id), 0) AS refunded
            FROM uoop_orders o WHERE o.id = ANY(:ids)
        """),
        {"ids": list(order_ids)},
    )
    return {row.order_id: Account(**row._mapping) for row in result}
