"""The command line's client asks again under one key while the same is still being processed."""

import json
from urllib.parse import urlsplit

import pytest
from fake_platform import AT, ORDER_ID, TOKEN, Platform

from app.orders.model import Accepted, ExternalIdTaken, InFlight
from infra.client import rest
from infra.client.rest import Client, Refused
from web.description import examples


@pytest.fixture
def asked(address: str) -> Client:
    place = urlsplit(address)
    return Client(str(place.hostname), int(place.port or 0), TOKEN)


def test_what_is_in_flight_is_sent_again_under_its_key(
    asked: Client, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.outcome = InFlight()
    monkeypatch.setattr(
        rest.time, "sleep", lambda _: setattr(platform, "outcome", Accepted(ORDER_ID, AT, True))
    )

    told = asked.submit(json.dumps(examples.ORDER).encode(), key="mine")

    assert told["tracking_id"] == ORDER_ID
    assert [new.idempotency_key for new in platform.accepted] == ["mine", "mine"]


def test_another_conflict_is_told_at_once(asked: Client, platform: Platform) -> None:
    platform.outcome = ExternalIdTaken(order_id=ORDER_ID)

    with pytest.raises(Refused, match="409"):
        asked.submit(json.dumps(examples.ORDER).encode(), key="mine")
