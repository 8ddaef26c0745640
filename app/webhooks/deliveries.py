"""
What is on its way to receivers.

A delivery is taken with a lease: `due_at` is then the moment from which its sender is taken for dead, and tells
his late answer from that of a successor. Whoever takes deliveries of an endpoint holds its row, so that the
endpoint's concurrency and the order of first tries hold whoever else sends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from app import database
from app.outbox.model import Event
from app.webhooks import schedule
from app.webhooks.model import (
    STANDINGS,
    DeliveryPage,
    DeliveryState,
    Replay,
    Replayed,
    WebhookDelivery,
    WebhookState,
)
from app.webhooks.post import Reply

REPLAYED_AT_ONCE = 10_000

_WAITS = "d.endpoint_id = e.id AND d.state IN ('w', 's') AND d.due_at <= now()"
_DUE = f"""
    FROM webhook_endpoints e WHERE e.state = '{WebhookState.ENABLED}'
    AND (e.quiet_until IS NULL OR e.quiet_until <= now())
    AND EXISTS (SELECT FROM webhook_deliveries d WHERE {_WAITS})
"""
ANY_IS_DUE = f"EXISTS (SELECT {_DUE})"
_TAKE = text(f"""
    WITH free AS (
        SELECT e.id, CASE WHEN e.failures >= :breaks_at THEN 1 ELSE :at_once END - (SELECT count(*)
            FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.state = 's' AND d.due_at > now()) AS places
        FROM webhook_endpoints e WHERE e.id = ANY(:endpoints)
    ), chosen AS (
        SELECT c.* FROM free e CROSS JOIN LATERAL (
            SELECT d.day, d.endpoint_id, d.pos, d.due_at FROM webhook_deliveries d WHERE {_WAITS}
            -- first tries in their order's order, as long as nothing before them has failed
            AND (d.tries > 0 OR NOT EXISTS (SELECT FROM webhook_deliveries p WHERE p.endpoint_id = e.id
                AND p.order_id = d.order_id AND p.pos < d.pos AND p.state IN ('w', 's') AND p.tries = 0))
            ORDER BY d.due_at, d.pos LIMIT greatest(e.places, 0)
        ) c ORDER BY c.due_at, c.pos LIMIT :room
    ), taken AS (
        UPDATE webhook_deliveries d SET state = 's', due_at = now() + make_interval(secs => :lease_s)
        FROM chosen c WHERE (d.endpoint_id, d.pos, d.day) = (c.endpoint_id, c.pos, c.day)
        RETURNING d.day, d.endpoint_id, d.pos, d.tries, d.due_at
    )
    SELECT t.day, t.endpoint_id, t.pos, t.tries, t.due_at, e.url, e.secret,
        CASE WHEN e.old_until > now() THEN e.old_secret END AS old_secret,
        l.id, l.tenant_id, l.order_id, l.sequence, l.type, l.data, l.at, l.trace
    FROM taken t JOIN webhook_endpoints e ON e.id = t.endpoint_id
    LEFT JOIN outbox_log l ON l.day = t.day AND l.pos = t.pos ORDER BY t.pos
""")
_QUEUE = f"""
    INSERT INTO webhook_deliveries (day, endpoint_id, pos, order_id, replayed)
    SELECT l.day, e.id, l.pos, l.order_id, :again
    FROM outbox_log l JOIN webhook_endpoints e ON e.tenant_id = l.tenant_id
    AND e.state = '{WebhookState.ENABLED}' AND (e.types = '{{}}' OR l.type = ANY(e.types))
"""
_AGAIN = """
    ON CONFLICT (endpoint_id, pos, day) DO UPDATE SET state = 'w', due_at = now(), tries = 0, delivered_at = NULL,
    replayed = true
    WHERE webhook_deliveries.state <> 's'
"""
_AT = "l.day >= CAST(:day AS date) AND l.pos = ANY(CAST(:positions AS bigint[]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """
    A delivery that is to be sent now.

    :param event: None if the log does not hold it any more
    :param keys: what signs it, sealed
    :param tries: those before this one
    :param until: the lease
    """

    day: date
    endpoint_id: str
    pos: int
    tries: int
    until: datetime
    url: str
    keys: tuple[bytes, ...]
    event: Event | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What came of one.

    :param again_in_s: None: it is over
    """

    of: Taken
    reply: Reply
    again_in_s: float | None


def queue(connection: Connection, events: Sequence[Event]) -> int:
    """
    Have events sent to whoever wants them, once each.

    :return: how many deliveries that makes
    """
    result = connection.execute(
        text(f"{_QUEUE} WHERE {_AT} ON CONFLICT DO NOTHING"), {**_places(events), "again": False}
    )
    return int(result.rowcount)


def queue_again(connection: Connection, events: Sequence[Event]) -> set[int]:
    """
    Have them sent again to whoever wants them.

    :return: the places of those that the log still holds
    """
    connection.execute(text(f"{_QUEUE} WHERE {_AT} {_AGAIN}"), _places(events, again=True))
    return set(
        connection.execute(text(f"SELECT l.pos FROM outbox_log l WHERE {_AT}"), _places(events)).scalars()
    )


def is_due(connection: Connection) -> bool:
    """Whether there is anything to send."""
    return bool(connection.execute(text(f"SELECT {ANY_IS_DUE}")).scalar_one())


def take(connection: Connection, *, at_once: int, room: int, lease_s: float) -> list[Taken]:
    """
    Take what is due.

    :param at_once: most that one endpoint is sent at the same time, whoever sends
    :param room: most that are taken
    """
    endpoints = connection.execute(text(f"SELECT e.id {_DUE} FOR UPDATE OF e SKIP LOCKED")).scalars().all()
    if not endpoints:
        return []
    # a new statement: what others had taken until the rows were ours is seen by it
    result = connection.execute(
        _TAKE,
        {
            "endpoints": list(endpoints),
            "at_once": at_once,
            "room": room,
            "lease_s": lease_s,
            "breaks_at": schedule.BREAKS_AT,
        },
    )
    return [
        Taken(
            day=row.day,
            endpoint_id=row.endpoint_id,
            pos=row.pos,
            tries=row.tries,
            until=row.due_at,
            url=row.url,
            keys=tuple(bytes(key) for key in (row.secret, row.old_secret) if key is not None),
            event=None if row.id is None else Event(row.pos, *row[-8:]),
        )
        for row in result
    ]


def put_back(connection: Connection, taken: Sequence[Taken], *, for_s: float) -> None:
    """They have not been sent; whoever looks after so many seconds may take them."""
    connection.execute(
        text(f"""
            UPDATE webhook_deliveries d SET state = 'w', due_at = now() + make_interval(secs => :for_s)
            FROM {_ROWS} WHERE {_STILL_OURS}
        """),
        {"rows": database.rows([_key(each) for each in taken]), "for_s": for_s},
    )


def note(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Write down what came of them; what another sender has taken meanwhile is his, but for what was taken."""
    connection.execute(
        text(f"""
            UPDATE webhook_deliveries d SET tries = d.tries + 1, answered_at = now(), status = r.status,
                took_ms = r.took_ms, error = r.error,
                state = CASE WHEN r.taken THEN 'd' WHEN r.again_in_s IS NULL THEN 'g' ELSE 'w' END,
                due_at = CASE WHEN r.again_in_s IS NULL THEN d.due_at
                    ELSE now() + make_interval(secs => r.again_in_s) END,
                delivered_at = CASE WHEN r.taken THEN now() END
            FROM {_ROWS} WHERE {_STILL_OURS}
        """),
        {
            "rows": database.rows(
                [
                    {
                        **_key(outcome.of),
                        "taken": outcome.reply.taken,
                        "status": outcome.reply.status,
                        "took_ms": round(outcome.reply.took_s * 1000),
                        "error": outcome.reply.error,
                        "again_in_s": outcome.again_in_s,
                    }
                    for outcome in outcomes
                ]
            )
        },
    )


def log(
    connection: Connection,
    endpoint_id: str,
    *,
    failed: bool,
    order_id: str | None,
    after: int | None,
    limit: int,
) -> DeliveryPage:
    """
    The deliveries to one endpoint, newest events first.

    :param failed: only those that have been tried in vain
    :param after: a place to go on behind
    """
    where = " AND d.state <> 'd' AND d.tries > 0" if failed else ""
    where += " AND d.order_id = :order_id" if order_id is not None else ""
    where += " AND d.pos < :after" if after is not None else ""
    rows = connection.execute(
        text(f"""
            SELECT d.pos AS place, l.id::text AS event_id, l.type, d.order_id, l.sequence, d.state, d.tries,
                CASE WHEN d.state = 'w' THEN d.due_at END AS due_at, d.status, d.took_ms, d.error, d.answered_at,
                d.delivered_at
            FROM webhook_deliveries d LEFT JOIN outbox_log l ON l.day = d.day AND l.pos = d.pos
            WHERE d.endpoint_id = :endpoint{where} ORDER BY d.pos DESC LIMIT :limit
        """),
        {"endpoint": endpoint_id, "order_id": order_id, "after": after, "limit": limit + 1},
    ).all()
    found = [WebhookDelivery(**{**row._mapping, "state": _standing(row.state)}) for row in rows[:limit]]
    return DeliveryPage(found, found[-1].place if len(rows) > limit else None)


def replay(connection: Connection, tenant_id: str, endpoint_id: str, wanted: Replay) -> Replayed:
    """Have events of the log sent to one endpoint again, of the types that it takes, oldest first."""
    conditions = {
        "l.pos = :place": wanted.place,
        "l.at >= :since": wanted.since,
        "l.at < :until": wanted.until,
        "l.order_id = :order_id": wanted.order_id,
        "l.type = :type": wanted.type,
        "l.pos > :after": wanted.after,
    }
    given = {sql: value for sql, value in conditions.items() if value is not None}
    where = "".join(f" AND {sql}" for sql in given)
    if wanted.since is not None:
        where += " AND l.day >= CAST(CAST(:since AS timestamptz) AS date)"  # it is placed after it happened
    row = connection.execute(
        text(f"""
            WITH chosen AS (
                SELECT l.day, l.pos, l.order_id FROM outbox_log l JOIN webhook_endpoints e ON e.id = :endpoint
                WHERE l.tenant_id = :tenant AND (e.types = '{{}}' OR l.type = ANY(e.types)){where}
                ORDER BY l.day, l.pos LIMIT :limit
            ), again AS (
                INSERT INTO webhook_deliveries (day, endpoint_id, pos, order_id, replayed)
                SELECT day, :endpoint, pos, order_id, true FROM chosen {_AGAIN}
            )
            SELECT count(*) AS events, max(pos) AS last FROM chosen
        """),
        {
            "tenant": tenant_id,
            "endpoint": endpoint_id,
            "limit": REPLAYED_AT_ONCE,
            "place": wanted.place,
            "since": wanted.since,
            "until": wanted.until,
            "order_id": wanted.order_id,
            "type": wanted.type,
            "after": wanted.after,
        },
    ).one()
    return Replayed(row.events, row.last if row.events == REPLAYED_AT_ONCE else None)


_ROWS = """json_to_recordset(CAST(:rows AS json)) AS r (day date, endpoint_id text, pos bigint, until timestamptz,
    taken boolean, status smallint, took_ms integer, error text, again_in_s float)"""
_STILL_OURS = """(d.endpoint_id, d.pos, d.day) = (r.endpoint_id, r.pos, r.day) AND d.state = 's'
    AND (d.due_at = r.until OR r.taken)"""


def _key(taken: Taken) -> dict[str, Any]:
    return {"day": taken.day, "endpoint_id": taken.endpoint_id, "pos": taken.pos, "until": taken.until}


def _places(events: Sequence[Event], *, again: bool = False) -> Mapping[str, Any]:
    return {
        "again": again,
        "day": min(event.at for event in events).date(),  # it is placed after it happened
        "positions": database.ids(event.pos for event in events),
    }


def _standing(state: str | bytes) -> DeliveryState:
    return STANDINGS[state.decode() if isinstance(state, bytes) else state]
