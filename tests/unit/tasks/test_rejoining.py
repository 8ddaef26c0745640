"""A Redis that refuses to write is a broker that is away, to a worker."""

import pytest
from kombu import Connection
from kombu.transport import redis as transport
from redis.exceptions import OutOfMemoryError, ResponseError

from tasks import rejoining


@pytest.mark.parametrize("refusal", [OutOfMemoryError("maxmemory"), ResponseError("NOREPLICAS")])
def test_a_refusal_is_taken_for_a_lost_connection(refusal: ResponseError) -> None:
    rejoining.install()

    with Connection("redis://127.0.0.1:1/0") as connection:
        assert isinstance(refusal, connection.connection_errors)


def test_a_refused_acknowledgement_ends_the_connection() -> None:
    def refuse(_self: object, _tag: str) -> None:
        raise OutOfMemoryError("maxmemory")

    guarded = rejoining._broken_unless_acknowledged(refuse)

    with pytest.raises(BrokenPipeError):  # the one error that kombu does not merely log
        guarded(object(), "tag")


def test_the_guard_is_put_on_once() -> None:
    rejoining.install()
    once = transport.QoS.ack

    rejoining.install()

    assert transport.QoS.ack is once
