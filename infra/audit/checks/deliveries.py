"""What follows the promise: deliveries move by the table, no report is forgotten, who is rerouted has one partner."""

from infra.audit.model import Check, Level, Needs, Picture

CHECKS = (
    Check(
        name="rerouted-dispatched",
        promise="P3",
        says="the one dispatch that stands of an order with several is with the partner that it names",
        among="audit_orders o JOIN audit_effect_keys k ON k.order_id = o.order_id AND k.resource = 'dispatches' "
        "WHERE o.known AND o.has_run AND o.settled AND NOT o.undone_order AND k.dos > k.undos",
        wrong="k.provider IS DISTINCT FROM o.partner",
        subject="o.order_id",
        needs=Needs.EFFECTS,
    ),
    Check(
        name="rerouting-led",
        promise="P4",
        says="every order on its way to another partner has a run that brings it there, or is parked",
        among="audit_orders o LEFT JOIN runs w ON w.id = o.rerouting WHERE o.known",
        wrong="o.rerouting IS NOT NULL AND (w.order_id IS DISTINCT FROM o.order_id OR w.state = 'e')",
        subject="o.order_id",
    ),
    Check(
        name="report-decided",
        promise="P4",
        says="every report was decided, or waits for its order",
        among="delivery_reports r LEFT JOIN uoop_orders o ON o.id = r.order_id",
        wrong="r.state = 'n' OR r.state = 'w' AND o.status <> 'PENDING' AND o.rerouting IS NULL",
        subject="r.order_id",
        level=Level.OPEN,
    ),
    Check(
        name="report-parked-with-reason",
        promise="P4",
        says="every report that waits for a person has its reason",
        among="delivery_reports r",
        wrong="r.state = 'p' AND r.reason IS NULL",
        subject="r.order_id",
    ),
    Check(
        name="moves-allowed",
        promise="P5",
        says="every status that an order came to follows from the one before it, once",
        among="audit_moves",
        wrong="NOT allowed",
        picture=Picture.EVENTS,
    ),
)
