"""Requests and answers as bytes."""

import pytest

from infra.demo import wire
from infra.demo.wire import NotHttp

ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\r\n"
    b'{"tracking_id":"01a2-b_C"} '
)
SHED = b"HTTP/1.1 503 x\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


def test_a_request_is_complete():
    head = wire.head("localhost", 8080, "uoop_key")

    sent = wire.request(head, "run-1", b'{"a":1}')

    assert sent.startswith(b"POST /v1/orders HTTP/1.1\r\nHost: localhost:8080\r\n")
    assert b"\r\nAuthorization: Bearer uoop_key\r\n" in sent
    assert b"\r\nIdempotency-Key: run-1\r\nContent-Length: 7\r\n\r\n" in sent


def test_an_acceptance_names_its_order():
    answer = wire.answer(ACCEPTED)

    assert answer is not None
    assert (answer.status, answer.tracking_id, answer.closes) == (202, "01a2-b_C", False)


def test_being_turned_away_says_for_how_long():
    answer = wire.answer(SHED)

    assert answer is not None
    assert (answer.status, answer.retry_after_s, answer.closes) == (503, 2.0, True)


@pytest.mark.parametrize("whole", [ACCEPTED, SHED])
def test_no_part_of_an_answer_is_taken_for_one(whole: bytes):
    for end in range(len(whole)):
        assert wire.answer(whole[:end]) is None


@pytest.mark.parametrize(
    "nonsense",
    [b"SSH-2.0-x", b"\x00\x01", b"HTTP/1.1 202 OK\r\n\r\n", b"HTTP/1.1 abc\r\nContent-Length: 0\r\n\r\n"],
)
def test_nonsense_is_no_answer(nonsense: bytes):
    with pytest.raises(NotHttp):
        wire.answer(nonsense)
