"""P5 as the consumers of a sink, or the receivers of webhooks, have seen it: by the journals that they kept."""

from infra.audit.model import Check, Level, Needs, Picture

_HEARD = "LEFT JOIN (SELECT DISTINCT consumer, id FROM audit_heard) h ON (h.consumer, h.id) = (c.name, l.id)"
_POSTED = (
    "audit_consumers c JOIN webhook_deliveries d ON d.endpoint_id = c.name "
    "JOIN outbox_log l ON (l.day, l.pos) = (d.day, d.pos)"
)

CHECKS = (
    Check(
        name="heard-as-logged",
        promise="P5",
        picture=Picture.EVENTS,
        says="every event that came to a consumer is the log's, always under its one id",
        among="audit_heard_log",
        wrong="NOT same",
        needs=Needs.CONSUMED,
    ),
    Check(
        name="heard-in-order",
        promise="P5",
        picture=Picture.EVENTS,
        says="each consumer was first told an order's events in their order",
        among="""(SELECT f.order_id, f.place, lag(f.place) OVER (PARTITION BY f.consumer, f.order_id
            ORDER BY f.sequence) AS before
            FROM (SELECT consumer, order_id, sequence, min(place) AS place FROM audit_heard GROUP BY 1, 2, 3) f
            WHERE NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.endpoint_id = f.consumer
                AND d.order_id = f.order_id AND (d.tries > 1 OR d.replayed))) h""",
        wrong="place < before",
        needs=Needs.CONSUMED,
    ),
    Check(
        name="heard-all",
        promise="P5",
        picture=Picture.EVENTS,
        says="every event published to a sink came to its consumer, from the first that did",
        among=f"audit_consumers c JOIN outbox_log l ON l.pos BETWEEN c.first AND c.published {_HEARD}",
        wrong="h.id IS NULL",
        subject="l.order_id",
        level=Level.OPEN,
        needs=Needs.CONSUMED,
    ),
    Check(
        name="heard-what-was-taken",
        promise="P5",
        picture=Picture.EVENTS,
        says="every event that a receiver of webhooks has answered for is in its journal",
        among=f"{_POSTED} JOIN audit_moment m ON d.delivered_at <= m.began {_HEARD}",
        wrong="h.id IS NULL",
        subject="l.order_id",
        needs=Needs.CONSUMED,
    ),
    Check(
        name="posted-all",
        promise="P5",
        picture=Picture.EVENTS,
        says="every event for these receivers of webhooks was taken",
        among=_POSTED,
        wrong="d.state <> 'd'",
        subject="l.order_id",
        level=Level.OPEN,
        needs=Needs.CONSUMED,
    ),
    Check(
        name="heard-once",
        promise="P5",
        picture=Picture.EVENTS,
        says="events came once",
        among="(SELECT order_id, count(*) AS times FROM audit_heard GROUP BY consumer, id, order_id) h",
        wrong="times > 1",
        level=Level.TOLD,
        needs=Needs.CONSUMED,
    ),
)
