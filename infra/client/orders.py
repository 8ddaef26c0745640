"""
The client for shops and apps: submit orders, wait for them, cancel them, hear their events.

The standard library and nothing else of this project, so that the file can be taken along. What may be asked twice
is asked again until the platform has answered, a submission under one key; `Retry-After` is heeded.
"""

import http.client
import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Any, TypedDict
from urllib.parse import quote, urlsplit

ANSWER_WITHIN_S = 15.0
POLL_S = 30  # for how long one request waits for a change
SILENCE_S = 45.0  # of a stream, above its heartbeat
AGAIN_AFTER_S, SLOWEST_AGAIN_S = 0.5, 30.0
IN_FLIGHT = "request-in-flight"  # the problem that ends by itself
_ASK_AGAIN = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


class Order(TypedDict):
    """An order as the API tells it; the description of the API says what each field means."""

    tracking_id: str
    version: int
    status: str
    stage: str | None
    external_order_id: str | None
    created_at: str
    updated_at: str
    eta: str | None
    partner: str | None
    channel: str | None
    failure: dict[str, Any] | None
    steps: list[dict[str, Any]]
    refunded: dict[str, str] | None
    cancellation: dict[str, Any] | None
    links: dict[str, str]


@dataclass(frozen=True, slots=True)
class Submitted:
    """
    The order is committed.

    :param key: under which it was sent; sent again with it, it stays one order
    :param replayed: whether that key had been answered before
    """

    tracking_id: str
    key: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class Event:
    """
    Something that happened to an order.

    :param sequence: its number within the order, from 1
    :param type: such as `order.confirmed`
    :param cloud_event: the CloudEvent 1.0, as it came
    """

    sequence: int
    type: str
    cloud_event: dict[str, Any]


class NotAnswered(Exception):
    """The platform did not answer in time; the same may be asked again."""


class TookTooLong(Exception):
    """What was waited for has not happened in time; `order` is where it stands."""

    def __init__(self, order: Order) -> None:
        super().__init__(f"order {order['tracking_id']} is still {order['status']}")
        self.order = order


class Refused(Exception):
    """The platform refuses; asking again changes nothing. `problem` is a problem document (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', 'refused')}: {problem.get('detail', '')}")
        self.status, self.problem = status, problem


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Message
    document: Any

    def again_after_s(self, otherwise_s: float) -> float:
        told = self.headers.get("Retry-After", "")
        return float(told) if told.isdecimal() else otherwise_s

    def is_worth_asking_again(self) -> bool:
        return (
            self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            or self.status in _ASK_AGAIN
            or self.document.get("code") == IN_FLIGHT
        )


def settled(order: Order) -> bool:
    """Whether the platform has kept or broken its promise, and undoes nothing any more."""
    cancellation = order["cancellation"]
    return order["status"] != "PENDING" and not (cancellation and cancellation["state"] == "under-way")


class Orders:
    """
    Orders of the tenant whose key this is. Every call may raise `Refused` or `NotAnswered`.

    :param address: such as `https://orders.example.com`
    :param patience_s: for how long one call asks again before it raises `NotAnswered`
    """

    def __init__(self, address: str, key: str, *, patience_s: float = 60.0) -> None:
        parts = urlsplit(address)
        self._connection = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._place, self._key, self._patience_s = parts.netloc, key, patience_s

    def submit(self, order: Mapping[str, Any], *, key: str | None = None) -> Submitted:
        """
        Submit an order, under one key however often it is sent.

        :param key: your own, kept before this call so that you can repeat it after a crash; without it a new one
        """
        key = key or str(uuid.uuid4())
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        answer = self._ask("POST", "/v1/orders", headers, json.dumps(order).encode())
        return Submitted(answer.document["tracking_id"], key, "Idempotency-Replayed" in answer.headers)

    def order(self, tracking_id: str) -> Order:
        """Where the order stands."""
        told: Order = self._ask("GET", _path(tracking_id), {}).document
        return told

    def cancel(self, tracking_id: str) -> None:
        """Wish the order cancelled; wished again it stays one wish. `wait` tells what becomes of it."""
        self._ask("POST", _path(tracking_id) + "/cancel", {})

    def wait(
        self, tracking_id: str, until: Callable[[Order], bool] = settled, *, within_s: float = 60.0
    ) -> Order:
        """
        Wait until the order is as wished.

        :raises TookTooLong: if it is not in that time
        """
        for order in self.changes(tracking_id, within_s=within_s):
            if until(order):
                return order
        raise TookTooLong(order)

    def changes(self, tracking_id: str, *, within_s: float) -> Iterator[Order]:
        """The order as it stands, and again whenever it has changed, for that many seconds."""
        end = time.monotonic() + within_s
        answer = self._ask("GET", _path(tracking_id), {})
        while True:
            if answer.status == HTTPStatus.OK:
                etag = answer.headers["ETag"]
                yield answer.document
            if (left_s := end - time.monotonic()) <= 0:
                return
            headers = {"If-None-Match": etag, "Prefer": f"wait={max(1, int(min(POLL_S, left_s)))}"}
            answer = self._ask("GET", _path(tracking_id), headers)
            if answer.status == HTTPStatus.NOT_MODIFIED and "Preference-Applied" not in answer.headers:
                time.sleep(min(answer.again_after_s(1.0), max(0.0, end - time.monotonic())))

    def events(self, tracking_id: str, *, after: int = 0) -> Iterator[Event]:
        """
        The order's events, then each as it happens, until no more is to come.

        :param after: sequence of the last one that you have
        """
        while True:
            answer, connection = self._open(
                "GET", _path(tracking_id) + "/events", {"Last-Event-ID": str(after)}
            )
            pause_s = AGAIN_AFTER_S
            try:
                if answer.status == HTTPStatus.NO_CONTENT:
                    return
                for fields in _blocks(answer):
                    if "data" in fields:
                        after = int(fields["id"])
                        yield Event(after, fields["event"], json.loads(fields["data"]))
                    pause_s = int(fields.get("retry", pause_s * 1000)) / 1000
            except (OSError, http.client.HTTPException):
                pass  # it broke off: what is missing is behind `after`
            finally:
                connection.close()
            time.sleep(pause_s)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> _Answer:
        answer, connection = self._open(method, path, headers, body)
        try:
            return _Answer(answer.status, answer.headers, _document(answer.read()))
        finally:
            connection.close()

    def _open(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        """A good answer, not yet read, and its connection."""
        end, pause_s = time.monotonic() + self._patience_s, AGAIN_AFTER_S
        while True:
            connection = self._connection(self._place, timeout=max(POLL_S + ANSWER_WITHIN_S, SILENCE_S))
            try:
                connection.request(method, path, body, {"Authorization": f"Bearer {self._key}", **headers})
                answer = connection.getresponse()
                if answer.status < 400:
                    return answer, connection
                told = _Answer(answer.status, answer.headers, _document(answer.read()))
                reason, wait_s = str(Refused(told.status, told.document)), told.again_after_s(pause_s)
            except (OSError, http.client.HTTPException) as error:
                told, reason, wait_s = None, str(error) or type(error).__name__, pause_s
            connection.close()
            if told and not told.is_worth_asking_again():
                raise Refused(told.status, told.document)
            wait_s *= random.uniform(1.0, 1.25)  # noqa: S311 (no secret)
            if time.monotonic() + wait_s > end:
                raise NotAnswered(reason)
            time.sleep(wait_s)
            pause_s = min(pause_s * 2, SLOWEST_AGAIN_S)


def _path(tracking_id: str) -> str:
    return f"/v1/orders/{quote(tracking_id, safe='')}"


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return {}


def _blocks(lines: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    """The blocks of an event stream, each as its fields; comments are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        text = line.decode().rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            yield fields
            fields = {}
