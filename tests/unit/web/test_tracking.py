"""For how long what was told of an order is told again."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from fake_platform import VIEW, NothingKept

from app.orders.model import Status
from web.tracking import Entry, Tracking


class Noting(NothingKept):
    """A cache that keeps nothing, and notes for how long it should have."""

    def __init__(self) -> None:
        self.for_ms: list[int] = []

    def put(self, entries: Sequence[Entry]) -> None:
        assert [entry.rank[0] for entry in entries] == [VIEW.version]
        self.for_ms += [entry.for_ms for entry in entries]


@pytest.mark.parametrize(
    ("status", "stage", "for_ms"),
    [
        (Status.PENDING, "plan-fulfilment", 1_000),
        (Status.CONFIRMED, "capture-payment", 1_000),
        (Status.CONFIRMED, None, 5_000),
        (Status.DELIVERED, None, 10_000),
        (Status.FAILED, "void", 1_000),
    ],
)
def test_an_order_is_kept_longer_the_less_may_befall_it(
    status: Status, stage: str | None, for_ms: int
) -> None:
    kept, view = Noting(), replace(VIEW, status=status, stage=stage)

    Tracking(lambda wanted: dict.fromkeys(wanted, view), kept).find(("t1", VIEW.tracking_id))

    assert kept.for_ms == [for_ms]
