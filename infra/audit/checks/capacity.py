"""P6: no slot is oversold, no place leaks; holds follow from the runs, in Postgres and in the ledger alike."""

from infra.audit.model import Check, Level

_WITH_RUN = "audit_orders WHERE known AND has_run"
# While the ledger is of another epoch it is not believed by anybody; `ledger-epoch` tells.
_COMPARABLE = (
    "audit_orders o CROSS JOIN audit_moment m WHERE known AND has_run AND still AND ledger_epoch = epoch"
)

CHECKS = (
    Check(
        name="ledger-epoch",
        promise="P6",
        says="the ledger is of the epoch that Postgres keeps",
        among="audit_moment",
        wrong="ledger_epoch IS DISTINCT FROM epoch",
        subject="coalesce(ledger_epoch::text, 'none')",
        level=Level.OPEN,
    ),
    Check(
        name="never-oversold",
        promise="P6",
        says="no slot holds more than its capacity, in Postgres or in the ledger",
        among="audit_slots",
        wrong="greatest(held, ledger_held) > capacity",
        subject="slot",
    ),
    Check(
        name="hold-follows-run",
        promise="P6",
        says="Postgres keeps the holds that the runs have taken and not given back, no other",
        among=_WITH_RUN,
        wrong="held IS DISTINCT FROM must_hold OR (held AND slot <> right_slot)",
    ),
    Check(
        name="hold-has-run",
        promise="P6",
        says="every hold is of a run",
        among="capacity_holds h LEFT JOIN runs r ON r.id = h.run_id AND r.order_id = h.order_id",
        wrong="r.id IS NULL",
        subject="h.order_id",
    ),
    Check(
        name="confirmed-holds",
        promise="P6",
        says="every confirmed order has its hold until that expires",
        among=f"{_WITH_RUN} AND status NOT IN ('PENDING', 'FAILED', 'CANCELLED') AND NOT wavering",
        wrong="held IS NOT TRUE",
    ),
    Check(
        name="failed-holds-nothing",
        promise="P6",
        says="no failed or cancelled order has a hold",
        among=f"{_WITH_RUN} AND undone_order AND NOT by_operator",
        wrong="held OR (still AND ledger_slot IS NOT NULL)",
    ),
    Check(
        name="ledger-agrees",
        promise="P6",
        says="the ledger holds for every order what Postgres holds",
        among=_COMPARABLE,
        wrong="ledger_entries > 1 OR CASE WHEN held AND NOT unexpired THEN false "
        "WHEN held THEN ledger_slot IS DISTINCT FROM slot OR ledger_others <> coalesce(cardinality(more), 0) "
        "ELSE ledger_slot IS NOT NULL OR ledger_others > 0 END",
    ),
    Check(
        name="ledger-hold-has-order",
        promise="P6",
        says="every hold in the ledger is of an order",
        among="audit_ledger l LEFT JOIN uoop_orders o ON o.id = l.order_id",
        wrong="o.id IS NULL",
        subject="l.order_id",
    ),
)
