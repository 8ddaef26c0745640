"""Slots and windows."""

from dataclasses import dataclass
from datetime import UTC, datetime

WINDOW_S = 900
HOLD_MARGIN_S = 300


def window_start(at: datetime) -> datetime:
    """The beginning of the quarter of an hour in which `at` lies."""
    seconds = int(at.timestamp())
    return datetime.fromtimestamp(seconds - seconds % WINDOW_S, UTC)


def slot(tenant_id: str, restaurant_id: str, at: datetime) -> str:
    """The name of a kitchen's window: `TENANT/RESTAURANT/EPOCH-SECONDS`."""
    return f"{tenant_id}/{restaurant_id}/{int(window_start(at).timestamp())}"


def hold_expiry(at: datetime, not_after: datetime) -> datetime:
    """
    When a hold lapses by itself: only a guard against leaks.

    Never before the order's own bound, so that a run which passes the gate still has its hold; and not before
    its window is over, since the meal takes its place in the kitchen until then.
    """
    until = max(window_start(at).timestamp() + WINDOW_S, not_after.timestamp()) + HOLD_MARGIN_S
    return datetime.fromtimestamp(until, UTC)


@dataclass(frozen=True, slots=True)
class Hold:
    """One order's place in a slot."""

    run_id: int
    order_id: str
    slot: str
    limit: int
    expires_at: datetime
