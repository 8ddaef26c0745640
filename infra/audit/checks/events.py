"""P5: every change has its event, in one gapless order, and every sink has them all."""

from infra.audit.model import Check, Level, Picture

PROMPT_S = 5
PROMPT_SHARE = 0.999

CHECKS = (
    Check(
        name="inbox-empty",
        promise="P5",
        picture=Picture.EVENTS,
        says="every event is in the log",
        among="(SELECT order_id, false AS waits FROM outbox_log UNION ALL SELECT order_id, true FROM outbox_in) e",
        wrong="waits",
        level=Level.OPEN,
    ),
    Check(
        name="log-gapless",
        promise="P5",
        picture=Picture.EVENTS,
        says="the log has no gap and no place twice",
        among="(SELECT pos, order_id, lag(pos) OVER (ORDER BY day, pos) AS before FROM outbox_log) l",
        wrong="pos <> before + 1",
        subject="pos",
    ),
    Check(
        name="sequencer-at-end",
        promise="P5",
        picture=Picture.EVENTS,
        says="the sequencer stands at the log's end",
        among="outbox_sequencer q CROSS JOIN (SELECT max(pos) AS pos FROM outbox_log) l",
        wrong="l.pos <> q.pos",
        subject="q.pos",
    ),
    Check(
        name="event-has-order",
        promise="P5",
        picture=Picture.EVENTS,
        says="every event tells of an order",
        among="audit_events e LEFT JOIN uoop_orders o ON o.id = e.order_id",
        wrong="o.id IS NULL",
        subject="e.order_id",
    ),
    Check(
        name="order-sequence",
        promise="P5",
        picture=Picture.EVENTS,
        says="every order's events are numbered from 1 to its version, in the log's order",
        among="audit_told",
        wrong="first_sequence IS DISTINCT FROM 1 OR last_sequence <> version OR events <> version OR disordered",
    ),
    Check(
        name="last-event-agrees",
        promise="P5",
        picture=Picture.EVENTS,
        says="every order's last event tells its status",
        among="audit_told",
        wrong="CASE last_type WHEN 'order.accepted' THEN 'PENDING' "
        "ELSE translate(upper(substr(last_type, 7)), '-', '_') END "
        "IS DISTINCT FROM status",
    ),
    Check(
        name="relay-at-end",
        promise="P5",
        picture=Picture.EVENTS,
        says="the relay has published all of the log",
        among="audit_moment m CROSS JOIN outbox_sequencer q LEFT JOIN sinks s ON s.name = m.sink",
        wrong="coalesce(s.pos, 0) <> q.pos",
        subject="m.sink",
        level=Level.OPEN,
    ),
    Check(
        name="stream-in-order",
        promise="P5",
        picture=Picture.EVENTS,
        says="the stream has each event once, rising, without a hole",
        among="(SELECT pos, lag(pos) OVER (ORDER BY place) AS before FROM audit_stream) s",
        wrong="pos IS NULL OR pos <> before + 1",
        subject="pos",
    ),
    Check(
        name="stream-agrees",
        promise="P5",
        picture=Picture.EVENTS,
        says="every entry of the stream is the log's event of that place",
        among="audit_stream_log WHERE in_stream",
        wrong="NOT same AND before_log IS NOT TRUE",
        subject="pos",
    ),
    Check(
        name="stream-complete",
        promise="P5",
        picture=Picture.EVENTS,
        says="every event published within the last hour is in the stream",
        among="audit_stream_log WHERE in_log AND must_be_in_stream",
        wrong="NOT in_stream",
        subject="pos",
    ),
    Check(
        name="deliveries-cover",
        promise="P5",
        picture=Picture.EVENTS,
        says="the deliveries cover the log up to where the relay stands",
        among="""(SELECT first_pos, max(last_pos) OVER (ORDER BY first_pos, last_pos
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
            FROM (SELECT first_pos, last_pos FROM deliveries JOIN audit_moment m ON m.sink = deliveries.sink
                UNION ALL SELECT 0, min(pos) - 1 FROM outbox_log
                UNION ALL SELECT s.pos + 1, s.pos + 1 FROM sinks s JOIN audit_moment m ON m.sink = s.name
            ) steps) d""",
        wrong="first_pos > reached + 1",
        subject="first_pos",
    ),
    Check(
        name="delivered-promptly",
        promise="P5",
        picture=Picture.EVENTS,
        says=f"{PROMPT_SHARE:.1%} of the events were first delivered within {PROMPT_S} s of their commit",
        among="outbox_log l JOIN audit_first_deliveries d ON d.pos = l.pos",
        wrong=f"d.delivered_at > l.at + interval '{PROMPT_S} s'",
        subject="l.order_id",
        level=Level.LATENCY,
        may_miss=1 - PROMPT_SHARE,
    ),
)
