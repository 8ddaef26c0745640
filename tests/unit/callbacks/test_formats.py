"""What each format's words mean here."""

from typing import Any

import msgspec
import pytest

from app.callbacks.formats import FORMATS, courier_status, kitchen_codes
from app.callbacks.model import Message
from app.deliveries.model import MAY_REPORT, Reported, Reporter

MESSAGE = Message(partner="falcon", reporter=Reporter.PARTNER, id="msg_1")


def told(name: str, **changes: Any) -> list[tuple[str, str, str]]:
    form = FORMATS[name]
    body = msgspec.json.decode(msgspec.json.encode({**form.example, **changes}), type=form.body)
    return [(each.event_id, each.order, each.what) for each in form.reports(body, MESSAGE)]


@pytest.mark.parametrize("name", FORMATS)
def test_the_example_of_each_format_is_a_report(name: str) -> None:
    ((_, order, what),) = told(name)

    assert order.startswith("018f3b2c-7d4e-7a10-9c55-3f1e2a6b7c8d")
    assert what in set(Reported)


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("pending", None),
        ("pickup", None),
        ("pickup_complete", "PICKED_UP"),
        ("dropoff", "IN_TRANSIT"),
        ("delivered", "DELIVERED"),
        ("canceled", "GIVEN_BACK"),
        ("returned", "GIVEN_BACK"),
        ("abducted", "abducted"),
    ],
)
def test_the_words_of_couriers(status: str, what: str | None) -> None:
    assert [each[2] for each in told("courier-status", status=status)] == ([what] if what else [])


def test_where_a_courier_is_is_of_no_matter() -> None:
    assert told("courier-status", kind="event.courier_update") == []


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (20, None),
        (50, "PREPARING"),
        (60, "READY_FOR_PICKUP"),
        (70, "READY_FOR_PICKUP"),
        (90, None),
        (110, "code-110"),
    ],
)
def test_the_codes_of_kitchens(code: int, what: str | None) -> None:
    assert [each[2] for each in told("kitchen-codes", status=code)] == ([what] if what else [])


def test_what_has_no_id_has_the_messages() -> None:
    assert told("kitchen-codes")[0][0] == "msg_1"


def test_nobody_is_translated_into_what_is_not_his_to_report() -> None:
    words = {each for each in courier_status.WORDS.values() if each}
    codes = {each for each in kitchen_codes.CODES.values() if each}

    assert words <= set(MAY_REPORT[Reporter.PARTNER])
    assert codes <= set(MAY_REPORT[Reporter.RESTAURANT])
