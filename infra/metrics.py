"""What Prometheus is told: counted in every process, gathered by the API, with gauges read from the stores."""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Sequence
from datetime import UTC, datetime

from prometheus_client import Counter, Histogram

from app.capacity.drift import Cause
from app.orders.model import Status
from app.orders.queries import REASONS
from app.outbox.model import Event, EventType
from app.outbox.redis_stream import RedisStream
from app.webhooks.deliveries import Outcome
from app.webhooks.model import DisabledReason

DURATION = Histogram(
    "order_processing_duration",
    "Seconds from the acceptance of an order to its terminal state.",
    ["status"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 120.0, 900.0),
)
PROCESSED = Counter("orders_processed", "Orders that reached CONFIRMED, FAILED or CANCELLED.", ["status"])
ERRORS = Counter("order_processing_errors", "Orders that were not fulfilled, by reason.", ["code"])
DRIFT = Counter("capacity_drift", "Places that only ledger or truth knew, mended, by cause.", ["cause"])
DELIVERY = Histogram(
    "event_delivery_seconds",
    "Seconds from the commit of an event to its being taken by a sink.",
    ["sink"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0),
)
DELIVERED = Counter("events_delivered", "Events that have been published, by type.", ["type"])

WEBHOOK_TRIES = Counter("webhook_tries", "Events posted to webhooks, by what came of it.", ["outcome"])
WEBHOOK_DELIVERY = Histogram(
    "webhook_delivery_seconds",
    "Seconds from the commit of an event to its being taken by a webhook.",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0, 86_400.0),
)
WEBHOOKS_DISABLED = Counter("webhooks_disabled", "Webhooks disabled by the platform, by reason.", ["reason"])

_TERMINAL = {EventType.CONFIRMED, EventType.FAILED, EventType.CANCELLED}

# Zeros from the start: a rate over a series that is not there yet is no rate at all.
for _status in (Status.CONFIRMED, Status.FAILED, Status.CANCELLED):
    DURATION.labels(_status)
    PROCESSED.labels(_status)
for _code in REASONS:
    ERRORS.labels(_code)
for _outcome in ("taken", "refused", "unanswered"):
    WEBHOOK_TRIES.labels(_outcome)
for _reason in (DisabledReason.GONE, DisabledReason.FAILING):
    WEBHOOKS_DISABLED.labels(_reason)
for _cause in Cause:
    DRIFT.labels(_cause)


def observe_delivery(sink: str, events: Sequence[Event]) -> None:
    """Count what a sink has taken for the first time, and how long it took."""
    now = datetime.now(UTC)
    _observe_all(DELIVERY.labels(sink), [(now - event.at).total_seconds() for event in events])
    if sink == RedisStream.name:
        _count(events)


def observe_webhook(outcome: Outcome) -> None:
    """Count a try, and how late the event came where it was taken."""
    reply = outcome.reply
    WEBHOOK_TRIES.labels("taken" if reply.taken else "refused" if reply.status else "unanswered").inc()
    if reply.taken and outcome.of.event:
        WEBHOOK_DELIVERY.observe((datetime.now(UTC) - outcome.of.event.at).total_seconds())


def _count(events: Sequence[Event]) -> None:
    """What has happened to orders, told once: when the sink that is always there has taken it."""
    took_s: dict[str, list[float]] = {}
    for event in events:
        if event.type in _TERMINAL:
            taken_s = (event.at - datetime.fromisoformat(event.data["accepted_at"])).total_seconds()
            took_s.setdefault(event.data["status"], []).append(taken_s)
            if event.type != EventType.CONFIRMED:
                ERRORS.labels(event.data["code"]).inc()
    for type_, count in Counts(event.type for event in events).items():
        DELIVERED.labels(type_).inc(count)
    for status, seconds in took_s.items():
        _observe_all(DURATION.labels(status), seconds)
        PROCESSED.labels(status).inc(len(seconds))


def _observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """`observe` for each of the values, at the cost of one for each bucket: a relay counts thousands a second."""
    bounds = histogram._upper_bounds  # the library can count one value at a time only
    histogram._sum.inc(sum(values))
    for bucket, count in Counts(bisect_left(bounds, value) for value in values).items():
        histogram._buckets[bucket].inc(count)
