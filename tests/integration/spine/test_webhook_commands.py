"""Webhooks by the command line, on the desk that the REST API uses."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import standardwebhooks
from receivers import Receiver, receiver
from sqlalchemy import Engine as Database
from test_outbox import relayed, written

from app.outbox.relay import Relay
from app.webhooks.sink import Webhooks

Uoop = Callable[..., tuple[int, str]]


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def uoop(uoop: Uoop, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> Uoop:
    monkeypatch.setenv("UOOP_WEBHOOK_ALLOWED", f"127.0.0.1:{hook.port}")
    return partial(uoop, "webhooks")


def made(uoop: Uoop, hook: Receiver, *options: str) -> dict[str, Any]:
    code, told = uoop("create", hook.url, *options)
    assert code == 0
    found: dict[str, Any] = json.loads(told)
    return found


def test_a_webhook_is_made_with_a_secret_that_is_shown_once(uoop: Uoop, hook: Receiver) -> None:
    webhook = made(uoop, hook, "--type", "order.confirmed", "--type", "order.failed", "--description", "till")

    (listed,) = json.loads(uoop("list", "--json")[1])
    assert listed == {name: value for name, value in webhook.items() if name != "secret"}
    assert (listed["types"], listed["description"]) == (["order.confirmed", "order.failed"], "till")
    assert webhook["id"] in uoop("list")[1]


def test_a_test_event_is_signed_by_the_new_secret_and_by_the_old_one(uoop: Uoop, hook: Receiver) -> None:
    webhook = made(uoop, hook)
    rotated = json.loads(uoop("rotate", webhook["id"], "--overlap", "1h")[1])

    code, told = uoop("test", webhook["id"])

    assert (code, json.loads(told)["status"]) == (0, 204)
    for secret in (webhook["secret"], rotated["secret"]):
        standardwebhooks.Webhook(secret).verify(hook.got[0].body, hook.got[0].headers)


def test_a_test_event_that_is_not_taken_is_told_by_the_exit_code(uoop: Uoop, hook: Receiver) -> None:
    webhook = made(uoop, hook)
    hook.answer = lambda _: (500, {})

    code, told = uoop("test", webhook["id"])

    assert (code, json.loads(told)["taken"]) == (1, False)


def test_it_is_changed_disabled_enabled_and_deleted(uoop: Uoop, hook: Receiver) -> None:
    name = made(uoop, hook)["id"]

    told = [
        json.loads(uoop(*arguments)[1])
        for arguments in (
            ("change", name, "--type", "order.failed"),
            ("disable", name),
            ("enable", name),
        )
    ]

    assert [(each["state"], each["types"]) for each in told] == [
        ("enabled", ["order.failed"]),
        ("disabled", ["order.failed"]),
        ("enabled", ["order.failed"]),
    ]
    assert uoop("delete", name)[0] == 0
    assert uoop("list", "--json") == (0, "[]\n")


def test_deliveries_are_listed_and_sent_again(db: Database, uoop: Uoop, hook: Receiver) -> None:
    name = made(uoop, hook)["id"]
    sink = Webhooks(db, ring=lambda: None)
    relay = Relay(db, sink, holder="one", is_wanted=sink.is_wanted)
    relay.run_once()
    written(db, "a", "b")
    relayed(relay)

    again = uoop("replay", name, "--order", "a")

    assert again == (0, "1 events will be sent again\n")
    listed = json.loads(uoop("deliveries", name, "--json")[1])
    assert [(each["order_id"], each["state"]) for each in listed] == [("b", "waiting"), ("a", "waiting")]
    (only,) = json.loads(uoop("deliveries", name, "--order", "b", "--json")[1])
    assert only["order_id"] == "b"
    assert json.loads(uoop("deliveries", name, "--failed", "--json")[1]) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "http://10.0.0.1/hook"), "https"),
        (("disable", "no-such"), "no such webhook"),
        (("replay", "no-such"), "say which events"),
        (("rotate", "no-such", "--overlap", "soon"), "is no time"),
    ],
)
def test_what_is_refused_is_one_line_and_exit_code_2(
    uoop: Uoop, arguments: tuple[str, ...], told: str
) -> None:
    code, said = uoop(*arguments)

    assert code == 2
    assert len(said.splitlines()) == 1
    assert told in said
