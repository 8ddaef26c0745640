"""Names on the wire: of tasks and of queues. Never reused for another meaning."""

RUN_STEP = "uoop.run-step"
JOIN = "uoop.join"
CLAIM = "uoop.claim"
SWEEP = "uoop.sweep"
CARRIER_DIED = "uoop.carrier-died"
RELAY = "uoop.relay"
RECONCILE = "uoop.reconcile"
MEND_CAPACITY = "uoop.mend-capacity"
MAINTAIN = "uoop.maintain"

STEPS, PARTNER, PATIENT, OPTIMIZER = "steps", "partner", "patient", "optimizer"
CONTROL, OUTBOX = "control", "outbox"
