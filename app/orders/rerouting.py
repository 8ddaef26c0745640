"""An order on its way from one partner to another: marked, promised anew, or left where it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from app.database import ids, rows


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


def mark(connection: Connection, runs: Mapping[str, int]) -> None:
    """Note by order which run takes it from its partner: what he reports waits until that has ended."""
    connection.execute(
        text("""
            UPDATE uoop_orders o SET rerouting = r.run_id
            FROM json_to_recordset(CAST(:rows AS json)) AS r(order_id text, run_id bigint) WHERE o.id = r.order_id
        """),
        {"rows": rows([{"order_id": order_id, "run_id": run_id} for order_id, run_id in runs.items()])},
    )


def promise(connection: Connection, reroutings: Sequence[Rerouting]) -> None:
    """Orders have their new partner, and the customer is told; their status stays. Twice is once."""
    connection.execute(
        text("""
            WITH changed AS (
                UPDATE uoop_orders o SET channel = n.channel, partner = n.partner, eta = n.eta, rerouting = NULL,
                    version = o.version + 1, updated_at = clock_timestamp()
                FROM json_to_recordset(CAST(:rows AS json))
                AS n(run_id bigint, order_id text, channel text, partner text, eta timestamptz)
                WHERE o.id = n.order_id AND o.rerouting = n.run_id
                RETURNING o.id, o.tenant_id, o.version, o.status, o.channel, o.partner, o.eta, o.created_at,
                    o.trace
            )
            INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, trace)
            SELECT tenant_id, id, version, 'order.rerouted', json_build_object('status', status, 'channel', channel,
                'partner', partner, 'eta', eta, 'accepted_at', created_at), trace FROM changed
        """),
        {"rows": rows(reroutings)},
    )


def led_by(connection: Connection, run_ids: Iterable[int]) -> list[str]:
    """The orders that these runs take from their partners."""
    result = connection.execute(
        text(
            "SELECT o.id FROM runs r JOIN uoop_orders o ON o.id = r.order_id "
            "WHERE r.id = ANY(CAST(:ids AS bigint[])) AND o.rerouting = r.id"
        ),
        {"ids": ids(run_ids)},
    )
    return list(result.scalars())


def leave(connection: Connection, partners: Mapping[str, str | None]) -> None:
    """
    End it without a new promise.

    :param partners: by order id, who has the order, or may have it
    """
    # he who was not told of in a promise yet is none of those that are channels of their own: they answer at once
    connection.execute(
        text("""
            UPDATE uoop_orders o SET rerouting = NULL, partner = l.partner,
                channel = CASE WHEN l.partner <> o.partner THEN 'partner' ELSE o.channel END
            FROM json_to_recordset(CAST(:rows AS json)) AS l(order_id text, partner text) WHERE o.id = l.order_id
        """),
        {"rows": rows([{"order_id": order_id, "partner": name} for order_id, name in partners.items()])},
    )
