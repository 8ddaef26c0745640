import pytest
from fake_platform import TOKEN, Platform
from flask.testing import FlaskClient

from web.app import create_app


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
