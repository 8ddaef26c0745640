"""P1 and P2: what was answered 202 is there, with its run and its event; one key, one order."""

from infra.audit.model import Check, Needs, Picture

_ACCEPTED = "audit_orders WHERE known AND run_id IS NOT NULL AND kept"

CHECKS = (
    Check(
        name="journal-order-kept",
        promise="P1",
        says="every accepted order is there",
        among="(SELECT DISTINCT order_id FROM audit_journal) j LEFT JOIN uoop_orders o ON o.id = j.order_id",
        wrong="o.id IS NULL",
        subject="j.order_id",
        needs=Needs.JOURNAL,
    ),
    Check(
        name="order-has-run",
        promise="P1",
        says="every order has its run",
        among="audit_orders WHERE known AND kept AND (run_id IS NOT NULL OR keys > 0)",
        wrong="has_run IS NOT TRUE",
    ),
    Check(
        name="run-has-order",
        promise="P1",
        says="every run is the one that its order began with, or one of those that follow it by number",
        among="runs r LEFT JOIN uoop_orders o ON o.id = r.order_id LEFT JOIN follow_ups f ON f.run_id = r.id",
        wrong="o.id IS NULL OR CASE WHEN f.run_id IS NULL THEN o.run_id IS DISTINCT FROM r.id "
        "ELSE f.order_id <> r.order_id OR f.nth <> r.generation OR f.nth > coalesce(o.follow_ups, 0) END",
        subject="r.order_id",
    ),
    Check(
        name="order-announced",
        promise="P1",
        says="every order begins with its order.accepted event",
        among="audit_told",
        wrong="first_type IS DISTINCT FROM 'order.accepted'",
        picture=Picture.EVENTS,
    ),
    Check(
        name="journal-key-names-one-order",
        promise="P2",
        says="no key was answered with two orders",
        among="(SELECT o.tenant_id, j.key, count(DISTINCT j.order_id) AS orders FROM audit_journal j "
        "LEFT JOIN uoop_orders o ON o.id = j.order_id GROUP BY 1, 2) k",
        wrong="orders > 1",
        subject="key",
        needs=Needs.JOURNAL,
    ),
    Check(
        name="journal-key-agrees",
        promise="P2",
        says="every order has the key it was answered for",
        among="audit_journal j JOIN audit_orders o ON o.order_id = j.order_id WHERE o.known AND o.kept",
        wrong="o.key IS DISTINCT FROM j.key",
        subject="o.order_id",
        needs=Needs.JOURNAL,
    ),
    Check(
        name="key-names-one-order",
        promise="P2",
        says="every key names one order",
        among="(SELECT tenant_id, key, count(*) AS orders FROM idempotency_keys GROUP BY 1, 2) k",
        wrong="orders > 1",
        subject="key",
    ),
    Check(
        name="order-has-one-key",
        promise="P2",
        says="every order has one key, of its tenant",
        among=_ACCEPTED,
        wrong="keys IS DISTINCT FROM 1 OR key_tenant_id IS DISTINCT FROM tenant_id",
    ),
    Check(
        name="key-has-order",
        promise="P2",
        says="every key's order is there",
        among="audit_keys k LEFT JOIN uoop_orders o ON o.id = k.order_id",
        wrong="o.id IS NULL",
        subject="k.order_id",
    ),
    Check(
        name="external-id-agrees",
        promise="P2",
        says="every external id names the one order that bears it",
        among="(SELECT id, tenant_id, external_order_id FROM uoop_orders WHERE external_order_id IS NOT NULL) o "
        "FULL JOIN external_order_ids e ON (e.tenant_id, e.external_order_id, e.order_id) "
        "= (o.tenant_id, o.external_order_id, o.id)",
        wrong="o.id IS NULL OR e.order_id IS NULL",
        subject="coalesce(o.id, e.order_id)",
    ),
)
