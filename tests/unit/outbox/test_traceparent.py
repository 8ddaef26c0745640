"""The trace that an event belongs to."""

import re
from datetime import UTC, datetime

import msgspec
import pytest

from app.outbox.model import Event, traceparent

ORDER = "018f3b2c-7d4e-7a10-9c55-3f1e2a6b7c8d"


def event(order_id: str, number: int = 1) -> Event:
    return Event(number, number, "default", order_id, number, "order.accepted", {}, datetime.now(UTC))


def test_an_orders_events_are_spans_of_one_trace_that_its_tracking_id_names() -> None:
    told = [traceparent(event(ORDER, number)) for number in (1, 2**63 - 1)]

    assert told == [
        "00-018f3b2c7d4e7a109c553f1e2a6b7c8d-0000000000000001-01",
        "00-018f3b2c7d4e7a109c553f1e2a6b7c8d-7fffffffffffffff-01",
    ]


@pytest.mark.parametrize("flags", ["00", "01"])
def test_an_order_that_came_with_a_trace_is_in_it(flags: str) -> None:
    brought = msgspec.structs.replace(event(ORDER, 10), trace=f"4bf92f3577b34da6a3ce929d0e0e4736-{flags}")

    assert traceparent(brought) == f"00-4bf92f3577b34da6a3ce929d0e0e4736-000000000000000a-{flags}"


@pytest.mark.parametrize("order_id", ["4711", "0" * 32, "018F3B2C-7D4E-7A10-9C55-3F1E2A6B7C8D", "بحرين", ""])
def test_any_other_id_has_a_trace_of_its_own_that_is_always_the_same(order_id: str) -> None:
    (digits,) = re.fullmatch(r"00-((?!0{32})[0-9a-f]{32})-0{15}1-01", traceparent(event(order_id))).groups()

    assert traceparent(event(order_id, 2)).split("-")[1] == digits
    assert traceparent(event(order_id + "x")).split("-")[1] != digits
