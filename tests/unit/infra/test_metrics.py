"""What is counted of many events at once is what would be counted of each."""

from datetime import UTC, datetime, timedelta

from prometheus_client import REGISTRY

from app.outbox.model import Event
from infra import metrics

TOOK_S = (1.2, 1.4, 3.0, 700.0)


def event(number: int, took_s: float) -> Event:
    at = datetime.now(UTC) - timedelta(seconds=took_s)
    return Event(number, number, "default", "order-1", number, "order.preparing", {}, at)


def bucket(bound: str) -> float | None:
    return REGISTRY.get_sample_value("event_delivery_seconds_bucket", {"sink": "board", "le": bound})


def test_events_of_one_batch_fall_into_the_buckets_of_their_delays() -> None:
    metrics.observe_delivery("board", [event(n, took_s) for n, took_s in enumerate(TOOK_S, start=1)])

    assert [bucket(bound) for bound in ("1.0", "2.0", "5.0", "600.0", "+Inf")] == [0.0, 2.0, 3.0, 3.0, 4.0]
    assert round(REGISTRY.get_sample_value("event_delivery_seconds_sum", {"sink": "board"}) or 0) == 706
