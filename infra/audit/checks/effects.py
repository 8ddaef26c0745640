"""P3: effects at the other side, once each; what was undone is undone everywhere; at most one dispatch stands."""

from infra.audit.model import Check, Needs

_CONFIRMED = "audit_orders WHERE known AND has_run AND settled AND NOT undone_order AND NOT wavering"

CHECKS = (
    Check(
        name="effect-has-order",
        promise="P3",
        says="every effect belongs to an order",
        among="audit_orders WHERE authorized + captured + repaid + placed + dispatched > 0",
        wrong="NOT known",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="pooled-has-order",
        promise="P3",
        says="every order in the own fleet's pool is there",
        among="audit_fleet f LEFT JOIN uoop_orders o ON o.id = f.order_id",
        wrong="o.id IS NULL",
        subject="f.order_id",
    ),
    Check(
        name="effect-once",
        promise="P3",
        says="no key took effect twice or was undone without effect",
        among="audit_effects e LEFT JOIN (SELECT order_id, bool_or(dos > 1 OR undos > dos) AS odd "
        "FROM audit_effect_keys GROUP BY order_id) k ON k.order_id = e.order_id",
        wrong="k.odd",
        subject="e.order_id",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="one-effect-stands",
        promise="P3",
        says="at most one authorization, capture and placement of an order stands",
        among="audit_orders WHERE authorized + captured + placed > 0",
        wrong="greatest(authorized - voided, captured - refunded, placed - withdrawn) > 1",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="one-dispatch-stands",
        promise="P3",
        says="at most one dispatch of an order stands, over all partners and the own fleet",
        among="audit_orders WHERE dispatched + pooled > 0",
        wrong="dispatched - recalled > 1 OR pooled > 1 OR (settled AND dispatched - recalled + pooled > 1)",
    ),
    Check(
        name="confirmed-authorized",
        promise="P3",
        says="every confirmed order's payment is authorized, with its amount",
        among=_CONFIRMED,
        wrong="authorized - voided <> 1 OR (authorized_amount, authorized_currency) "
        "IS DISTINCT FROM (total_amount, currency)",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="confirmed-placed",
        promise="P3",
        says="every confirmed order is placed with its restaurant",
        among=f"{_CONFIRMED} AND NOT unplaced",
        wrong="placed - withdrawn <> 1",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="confirmed-dispatched",
        promise="P3",
        says="every confirmed order is dispatched to the partner it names, or to nobody where the customer collects",
        among=f"{_CONFIRMED} AND NOT given_up",
        wrong="dispatched - recalled + pooled <> CASE partner WHEN 'pickup' THEN 0 ELSE 1 END "
        "OR CASE partner WHEN 'own-fleet' THEN pooled <> 1 WHEN 'pickup' THEN false "
        "ELSE dispatched - recalled <> 1 OR (dispatched = 1 AND dispatched_to IS DISTINCT FROM partner) END",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="confirmed-captured",
        promise="P3",
        says="every confirmed order whose run has ended is captured once, with its amount",
        among=f"{_CONFIRMED} AND still AND state = 'e' AND NOT uncaptured",
        wrong="captured <> 1 OR refunded <> 0 OR (captured_amount, captured_currency) "
        "IS DISTINCT FROM (total_amount, currency)",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="captured-amount",
        promise="P3",
        says="nothing is captured but the amount of an order that was confirmed",
        among="audit_orders WHERE captured > 0",
        wrong="(undone_order AND NOT recalled_later) OR captured_amount <> total_amount "
        "OR captured_currency <> currency",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="failed-nets-to-zero",
        promise="P3",
        says="no effect of a failed or cancelled order stands",
        among="audit_orders WHERE known AND has_run AND settled AND undone_order AND NOT by_operator",
        wrong="(NOT unreturned AND (taken_amount <> repaid_amount "
        "OR authorized - voided > CASE WHEN recalled_later THEN captured - refunded ELSE 0 END)) "
        "OR voided > authorized OR (NOT unwithdrawn AND placed <> withdrawn) OR dispatched <> recalled OR pooled <> 0",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="refund-within-capture",
        promise="P3",
        says="no more is given back than was taken",
        among="audit_orders WHERE repaid > 0",
        wrong="repaid_amount > taken_amount",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="refund-wanted",
        promise="P3",
        says="every refund was wanted: a run is there that was to give it",
        among="audit_refunds WHERE given IS NOT NULL AND kept IS NOT FALSE",
        wrong="NOT wanted",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="refund-agrees",
        promise="P3",
        says="every refund that was given is told with its amount, and none that was not",
        among="audit_refunds WHERE wanted AND (must_be_given OR must_be_told)",
        wrong="told IS DISTINCT FROM given",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="failed-undone",
        promise="P3",
        says="every step that a failed or cancelled order may have taken is proven undone",
        among="audit_undoing",
        wrong="(intended | touched) & compensable & ~(proven & undone) <> 0 "
        "OR (failure ->> 'compensated')::boolean IS DISTINCT FROM (touched & compensable <> 0)",
    ),
)
