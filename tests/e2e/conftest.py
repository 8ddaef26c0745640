"""The whole platform, as a user starts it: real processes in a home of their own."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from uoop_command import Uoop


@pytest.fixture(scope="module")
def uoop(furnish: Callable[[Path], None]) -> Iterator[Uoop]:
    """The command line on a home of the module's own; everything is stopped at the end."""
    home = Path(tempfile.mkdtemp(prefix="uoop-e2e-")).resolve()
    furnish(home)
    command = Uoop(home)
    yield command
    stopped = command("down")
    shutil.rmtree(home)
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="module")
def running(uoop: Uoop) -> Uoop:
    """The same, with the platform up."""
    started = uoop("up", "--detach")
    assert started.returncode == 0, started.stderr
    return uoop


@pytest.fixture
def eventually() -> Callable[..., object]:
    """Waits until a condition holds, and returns what it gave; fails after a bound."""

    def wait(condition: Callable[[], object], within_s: float = 60) -> object:
        end = time.monotonic() + within_s
        while not (found := condition()):
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.05)
        return found

    return wait
