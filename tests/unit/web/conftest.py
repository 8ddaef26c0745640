import random
from collections.abc import Iterator

import lanes
import pytest
from fake_platform import TOKEN, Platform, hot_lane
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import Client

from web.app import create_app


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answers to one question are the same."""
    monkeypatch.setattr(random, "random", lambda: 0.5)


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def app(platform) -> Flask:
    return create_app(platform.services())


@pytest.fixture
def flask_client(app) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def client(flask_client) -> FlaskClient:
    return flask_client


@pytest.fixture
def hot_client(platform, app) -> Iterator[Client]:
    with lanes.client_of(hot_lane(platform, app)) as made:
        yield made


@pytest.fixture(params=lanes.BOTH)
def either_client(request: pytest.FixtureRequest) -> Client:
    """Of Flask and of the hot lane in turn."""
    found: Client = request.getfixturevalue("flask_client" if request.param == "Flask" else "hot_client")
    return found


@pytest.fixture
def headers() -> dict[str, str]:
    """What a good submission carries."""
    return {
        "Authorization": f"Bearer {TOKEN}",
        "Idempotency-Key": "k-1",
        "Content-Type": "application/json",
    }
