"""What is no message is dropped, and what is one comes through."""

import json
from queue import Empty
from typing import Any

import pytest
from kombu.transport import redis as transport

from tasks import unreadable_messages

MESSAGE: dict[str, Any] = {
    "body": "W10=",
    "headers": {"task": "any"},
    "properties": {"delivery_tag": "a", "delivery_info": {}, "body_encoding": "base64"},
}
NOT_A_TEXT = MESSAGE | {"body": 1}
NOT_BASE64 = MESSAGE | {"body": "a"}
WITHOUT_A_TAG = MESSAGE | {"properties": {}}


@pytest.mark.parametrize("element", [None, 1, "text", [], [1], {}, NOT_A_TEXT, NOT_BASE64, WITHOUT_A_TAG])
def test_what_is_no_message_is_known(element: Any) -> None:
    assert not unreadable_messages.is_message(element)


def test_a_message_of_any_task_is_one() -> None:
    assert unreadable_messages.is_message(MESSAGE)


def test_an_element_that_is_no_json_reads_as_an_empty_queue() -> None:
    read = unreadable_messages._guarded_read(lambda _channel: json.loads("not json"))

    with pytest.raises(Empty):
        read(None)


def test_only_messages_are_delivered() -> None:
    delivered: list[Any] = []
    deliver = unreadable_messages._guarded_delivery(lambda _self, element, _queue: delivered.append(element))

    for element in ({}, MESSAGE):
        deliver(None, element, "steps")

    assert delivered == [MESSAGE]


def test_the_guard_is_put_on_once() -> None:
    unreadable_messages.install()
    once = transport.Channel._brpop_read

    unreadable_messages.install()

    assert transport.Channel._brpop_read is once
