"""What tests of real processes share."""

import time
from collections.abc import Callable

import pytest


@pytest.fixture
def eventually() -> Callable[..., object]:
    """Waits until a condition holds, and returns what it gave; fails after a bound."""

    def wait(condition: Callable[[], object], within_s: float = 30) -> object:
        end = time.monotonic() + within_s
        while not (found := condition()):
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)
        return found

    return wait
