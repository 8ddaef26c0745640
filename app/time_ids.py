"""
Ids that begin with the millisecond of their making: a table keyed by them is partitioned by time as it is.

`time_id()` in the first migration makes them.
"""

from datetime import UTC, datetime

SHIFT = 21


def floor(at: datetime) -> int:
    """The smallest time id of that instant."""
    return int(at.timestamp() * 1000) << SHIFT


def made_at(time_id: int) -> datetime:
    """When the id was made, to the millisecond."""
    return datetime.fromtimestamp((time_id >> SHIFT) / 1000, UTC)
