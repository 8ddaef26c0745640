import random

import pytest
from fake_platform import TOKEN, Platform
from flask.testing import FlaskClient

from web.app import create_app


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answers to one question are the same."""
    monkeypatch.setattr(random, "random", lambda: 0.5)


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def client(platform) -> FlaskClient:
    return create_app(platform.services()).test_client()


@pytest.fixture
def headers() -> dict[str, str]:
    """What a good submission carries."""
    return {
        "Authorization": f"Bearer {TOKEN}",
        "Idempotency-Key": "k-1",
        "Content-Type": "application/json",
    }
