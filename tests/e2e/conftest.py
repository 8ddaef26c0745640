"""The whole platform, started once for all end-to-end tests as its users start it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Running

START_WITHIN_S = 180


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """The platform in a home of its own, on free ports; stopped at the end."""
    platform = Running(Path(tempfile.mkdtemp(prefix="uoop-e2e-")).resolve())
    started = platform.uoop("up", "--detach", within_s=START_WITHIN_S)
    try:
        assert started.returncode == 0, started.stderr
        yield platform
    finally:
        stopped = platform.uoop("down", within_s=START_WITHIN_S)
        shutil.rmtree(platform.home, ignore_errors=stopped.returncode != 0)
    assert stopped.returncode == 0, stopped.stderr
