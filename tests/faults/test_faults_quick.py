"""The quick part of the fault suite: each of its faults once, on one platform."""

from collections.abc import Iterator

import pytest
from fault_run import Fault, run
from fault_stack import Stack, started
from fault_table import FAULTS

QUICK = [fault for fault in FAULTS if fault.quick]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with started() as running:
        yield running


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
def test_promises_are_kept_with(fault: Fault, stack: Stack) -> None:
    result = run(stack, fault)

    assert result.clean, result.line
