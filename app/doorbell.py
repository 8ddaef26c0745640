"""
The doorbell: wakes the one who looks for work, by at most one message while one is pending.

It carries nothing and may be lost: beat looks in regularly, whoever rang.
"""

from enum import StrEnum
from typing import Protocol


class Bell(StrEnum):
    CLAIM = "claim"  # runs may be due
    RELAY = "relay"  # events may be waiting
    WEBHOOKS = "webhooks"  # deliveries to receivers may be due
    REPORTS = "reports"  # reports of deliveries may be waiting
    RECONCILE = "reconcile"  # the capacity ledger has lost its epoch


class Doorbell(Protocol):
    """Rings from inside the request path: bounded in time, never raises."""

    def ring(self, bell: Bell) -> None: ...
