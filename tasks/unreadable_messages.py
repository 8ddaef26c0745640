"""
Drops from a queue what is no message, where kombu's Redis transport would end the worker that pops it.

Each further worker would pop, and die of, the next one; under a supervisor's growing pauses a handful of them
stops a queue for a minute. What is a message, of whatever task, is Celery's business and left alone.
"""

import base64
from collections.abc import Callable
from json import JSONDecodeError
from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis as transport

log = structlog.get_logger()


def install() -> None:
    """Guard the reading of queues, once per process."""
    if getattr(transport.Channel._brpop_read, "guarded", False):
        return
    transport.Channel._brpop_read = _guarded_read(transport.Channel._brpop_read)  # type: ignore[method-assign]
    transport.Transport._deliver = _guarded_delivery(transport.Transport._deliver)  # type: ignore[method-assign]


def is_message(element: Any) -> bool:
    """Whether kombu can make a message of a queue's element, parsed from JSON."""
    try:
        properties = element["properties"]
        body, encoding = element.get("body"), properties.get("body_encoding")
        if body and encoding == "base64":
            base64.b64decode(body)
        return (
            isinstance(properties["delivery_tag"], str)
            and isinstance(properties.get("delivery_info") or {}, dict)
            and isinstance(element.get("headers") or {}, dict)
            and isinstance(body or "", str)
        )
    except (TypeError, KeyError, AttributeError, ValueError):
        return False


def _guarded_read(original: Callable[..., Any]) -> Any:
    def read(self: Any, **options: Any) -> Any:
        try:
            return original(self, **options)
        except JSONDecodeError as error:
            log.error("unreadable-message-dropped", characters=len(error.doc))
            raise Empty from error  # what the loop takes for an empty queue

    read.guarded = True  # type: ignore[attr-defined]
    return read


def _guarded_delivery(original: Callable[..., Any]) -> Any:
    def deliver(self: Any, element: Any, queue: str) -> Any:
        if not is_message(element):
            log.error("unreadable-message-dropped", queue=queue)
            return None
        return original(self, element, queue)

    return deliver
