from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_process import SandboxProcess


@pytest.fixture
def sandbox(home: Path) -> Iterator[SandboxProcess]:
    sandbox = SandboxProcess(home)
    sandbox.start()
    yield sandbox
    for provider in sandbox.providers:
        provider.close()
    sandbox.kill()
