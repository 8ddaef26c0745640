"""kombu 5.7.0: closing a connection with unacknowledged messages must not end the worker."""

import kombu
import pytest
from kombu import Connection
from kombu.transport import redis as transport
from redis.exceptions import ConnectionError as RedisConnectionError

from tasks import broker_guard


@pytest.fixture
def channel() -> transport.Channel:
    """A channel that was never connected: nobody listens at its address."""
    made = transport.Channel.__new__(transport.Channel)
    made.connection = None
    return made


def test_a_channel_whose_connection_is_gone_raises_a_connection_error(channel: transport.Channel) -> None:
    broker_guard.install()

    with pytest.raises(RedisConnectionError):
        channel._connparams()


def test_a_channel_whose_client_is_gone_raises_a_connection_error(channel: transport.Channel) -> None:
    broker_guard.install()
    channel.connection = transport.Transport.__new__(transport.Transport)
    channel.connection.client = None

    with pytest.raises(RedisConnectionError):
        channel._connparams()


def test_the_workers_loop_takes_that_error_for_a_lost_connection() -> None:
    with Connection("redis://127.0.0.1:1/0") as connection:
        assert issubclass(RedisConnectionError, connection.connection_errors)


def test_the_guard_is_put_on_once() -> None:
    broker_guard.install()
    once = transport.Channel._connparams

    broker_guard.install()

    assert transport.Channel._connparams is once


def test_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def theirs() -> None:
        """As they made it."""

    monkeypatch.setattr(transport.Channel, "_connparams", theirs)
    monkeypatch.setattr(kombu, "__version__", "5.7.1")

    broker_guard.install()

    assert transport.Channel._connparams is theirs


def test_the_version_in_use_is_the_one_that_was_looked_at() -> None:
    assert kombu.__version__ == broker_guard.AFFECTED  # a newer one: see whether the guard is still needed
