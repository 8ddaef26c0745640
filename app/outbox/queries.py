"""Reading events, and how well they are delivered."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from app.outbox.model import Event

PROMPT_S = 5.0

_EVENT = "l.pos, l.id, l.tenant_id, l.order_id, l.sequence, l.type, l.data, l.at, l.trace"


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStanding:
    """
    How one sink is served.

    :param delivered: events that it took for the first time within the window; of webhooks, those that receivers took
    :param share_within_5s: of those, from commit to delivery; None if there were none
    :param p50_s: seconds from commit to delivery
    :param lag: committed events that it has not taken
    :param oldest_s: age of the oldest of them
    :param dead: events put aside, not yet delivered by a person
    """

    sink: str
    delivered: int
    share_within_5s: float | None
    p50_s: float | None
    p99_s: float | None
    lag: int
    oldest_s: float
    dead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which events; None is all."""

    since: datetime | None = None
    until: datetime | None = None
    order_id: str | None = None
    type: str | None = None


def standings(connection: Connection, *, window: timedelta) -> list[SinkStanding]:
    """Every sink, by name."""
    # A relay goes forward over events: one is first delivered by what reaches beyond all that was delivered before.
    result = connection.execute(
        text("""
            WITH steps AS (
                SELECT sink, first_pos, last_pos, delivered_at, coalesce(max(last_pos) OVER (PARTITION BY sink
                    ORDER BY delivered_at, last_pos ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS reached
                FROM deliveries
            ), taken AS (
                SELECT d.sink, extract(epoch FROM d.delivered_at - l.at) AS after_s
                FROM steps d JOIN outbox_log l ON l.pos BETWEEN greatest(d.first_pos, d.reached + 1) AND d.last_pos
                WHERE d.last_pos > d.reached AND d.delivered_at > now() - :window AND d.sink <> 'webhooks'
                AND l.day >= CAST(now() - :window AS date) - 1
                UNION ALL -- what that sink takes is only noted: it counts when a receiver has it
                SELECT 'webhooks', extract(epoch FROM d.delivered_at - l.at)
                FROM webhook_deliveries d JOIN outbox_log l ON l.day = d.day AND l.pos = d.pos
                WHERE d.delivered_at > now() - :window AND NOT d.replayed
                AND d.day >= CAST(now() - :window AS date) - 7
            ), speeds AS (
                SELECT sink, count(*) AS delivered, avg((after_s <= :prompt)::integer) AS share,
                    percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY after_s) AS quantiles
                FROM taken GROUP BY sink
            )
            SELECT s.name, coalesce(p.delivered, 0) AS delivered, p.share::float, p.quantiles,
                q.pos - s.pos + (SELECT count(*) FROM outbox_in) AS lag,
                coalesce(extract(epoch FROM clock_timestamp() - least(
                    (SELECT at FROM outbox_log WHERE day >= s.day AND pos > s.pos ORDER BY day, pos LIMIT 1),
                    (SELECT min(at) FROM outbox_in))), 0)::float AS oldest_s,
                (SELECT count(*) FROM dead_letters d WHERE d.sink = s.name AND d.delivered_at IS NULL) AS dead
            FROM sinks s CROSS JOIN outbox_sequencer q LEFT JOIN speeds p ON p.sink = s.name ORDER BY s.name
        """),
        {"window": window, "prompt": PROMPT_S},
    )
    return [
        SinkStanding(
            sink=row.name,
            delivered=row.delivered,
            share_within_5s=row.share,
            p50_s=row.quantiles and row.quantiles[0],
            p99_s=row.quantiles and row.quantiles[1],
            lag=row.lag,
            oldest_s=row.oldest_s,
            dead=row.dead,
        )
        for row in result
    ]


def page(connection: Connection, wanted: Selection, *, after: int, limit: int) -> list[Event]:
    """Events of the log behind the place `after`, in its order."""
    conditions = {
        "l.at >= :since": wanted.since,
        "l.at < :until": wanted.until,
        "l.order_id = :order_id": wanted.order_id,
        "l.type = :type": wanted.type,
    }
    where = "".join(f" AND {sql}" for sql, value in conditions.items() if value is not None)
    if wanted.since is not None:
        where += " AND l.day >= CAST(CAST(:since AS timestamptz) AS date)"  # it is placed after it happened
    result = connection.execute(
        text(
            f"SELECT {_EVENT} FROM outbox_log l WHERE l.pos > :after{where} ORDER BY l.day, l.pos LIMIT :limit"
        ),
        {
            "after": after,
            "limit": limit,
            "since": wanted.since,
            "until": wanted.until,
            "order_id": wanted.order_id,
            "type": wanted.type,
        },
    )
    return [Event(*row) for row in result]


def of_order(connection: Connection, tenant_id: str, order_id: str, *, after: int = 0) -> list[Event]:
    """The events of the tenant's order that are still in the log, behind the sequence `after`, in their order."""
    result = connection.execute(
        text(
            f"SELECT {_EVENT} FROM outbox_log l "
            "WHERE l.order_id = :order AND l.tenant_id = :tenant AND l.sequence > :after ORDER BY l.sequence"
        ),
        {"order": order_id, "tenant": tenant_id, "after": after},
    )
    return [Event(*row) for row in result]


def end(connection: Connection, *, back: int = 0) -> int:
    """The place `back` events before the log's end."""
    pos: int = connection.execute(text("SELECT pos FROM outbox_sequencer")).scalar_one()
    return max(0, pos - back)
