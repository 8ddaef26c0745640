"""What partners tell, from the signed message to the order's status."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from sqlalchemy import event
from test_delivery_reports import LIFE, apply, confirmed, events, fates
from together import at_once
from world import RANKING, QuietDoorbell, World

from app.callbacks import signature
from app.callbacks.callers import Caller
from app.callbacks.formats import FORMATS
from app.callbacks.service import Callbacks, InvalidCallback, PartnerNotFound, Received
from app.callbacks.signature import SignatureRefused, Signed
from app.deliveries.model import Reporter
from app.doorbell import Bell
from app.limits.service import Limiter, RateLimited
from app.orders.document import MalformedJson

PARTNER, OTHER, _ = RANKING
RATE = 20  # of which a process takes one at a time
KEYS = {PARTNER: b"p" * 32, OTHER: b"o" * 32, "kitchens": b"k" * 32}
CALLERS = {
    PARTNER: Caller(Reporter.PARTNER, FORMATS["uoop"], RATE, (b"n" * 32, KEYS[PARTNER])),
    OTHER: Caller(Reporter.PARTNER, FORMATS["courier-status"], RATE, (KEYS[OTHER],)),
    "kitchens": Caller(Reporter.RESTAURANT, FORMATS["kitchen-codes"], RATE, (KEYS["kitchens"],)),
}


@pytest.fixture
def bell() -> QuietDoorbell:
    return QuietDoorbell()


@pytest.fixture
def callbacks(world: World, bell: QuietDoorbell) -> Callbacks:
    return Callbacks(world.db, bell, lambda: CALLERS, Limiter(RedisAway(), share=1, clock=lambda: 0.0))


class RedisAway(redis.Redis):
    """So that each process keeps rates alone, here on a clock that stands still."""

    def pipeline(self, *_: object, **__: object) -> Any:
        raise redis.ConnectionError


def signed(body: object, *, by: str = PARTNER, message_id: str = "msg_1") -> Signed:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    now = str(int(time.time()))
    return Signed(message_id, now, signature.sign(KEYS[by], message_id, now, sent), sent)


def one(order: str, state: str, event_id: str | None = None) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {"id": event_id or f"{order}-{state}", "order": order, "state": state, "at": at}


def message(*events: Mapping[str, Any]) -> Signed:
    return signed({"events": events})


def test_a_life_told_out_of_order_and_twice_ends_delivered(world: World, callbacks: Callbacks) -> None:
    (order,) = confirmed(world)
    told = [one(order, what) for what in (LIFE[2], LIFE[0], LIFE[0], LIFE[4], LIFE[1], LIFE[3])]

    received = callbacks.take(PARTNER, message(*told))
    apply(world)

    assert received == Received(reports=6, new=5)
    assert world.statuses() == {order: "DELIVERED"}
    assert events(world, order)[2:] == [(3, "order.picked-up"), (4, "order.delivered")]


def test_the_same_event_again_is_answered_and_without_effect(
    world: World, callbacks: Callbacks, bell: QuietDoorbell
) -> None:
    (order,) = confirmed(world)
    replayed = message(one(order, "PICKED_UP"))

    answers = at_once(lambda: callbacks.take(PARTNER, replayed), 6)

    assert sorted(each.new for each in answers) == [0, 0, 0, 0, 0, 1]
    assert bell.rung == [Bell.REPORTS]
    apply(world)
    assert fates(world) == [("APPLIED", None)]


def test_a_kitchen_and_a_courier_tell_in_their_own_words(world: World, callbacks: Callbacks) -> None:
    (order,) = confirmed(world)
    world.sql("UPDATE uoop_orders SET partner = :partner", partner=OTHER)
    prepared = {**FORMATS["kitchen-codes"].example, "orderId": f"{order}:place-with-restaurant:0"}
    delivered = {**FORMATS["courier-status"].example, "external_id": order, "status": "delivered"}

    callbacks.take("kitchens", signed(prepared, by="kitchens"))
    apply(world)
    callbacks.take(OTHER, signed(delivered, by=OTHER))
    apply(world)

    assert [kind for _, kind in events(world, order)[2:]] == ["order.preparing", "order.delivered"]


def test_what_cannot_be_right_is_parked_with_its_reason(world: World, callbacks: Callbacks) -> None:
    (order,) = confirmed(world)
    callbacks.take(PARTNER, message(one("nobody", "PICKED_UP"), one(order, "TELEPORTED")))
    callbacks.take(OTHER, signed({**FORMATS["courier-status"].example, "external_id": order}, by=OTHER))

    apply(world)

    assert fates(world) == [
        ("PARKED", "unknown-order"),
        ("PARKED", "unknown-state"),
        ("PARKED", "other-partner"),
    ]
    assert world.statuses() == {order: "CONFIRMED"}


def test_what_means_nothing_here_is_not_kept(world: World, callbacks: Callbacks, bell: QuietDoorbell) -> None:
    told = {**FORMATS["courier-status"].example, "status": "pickup"}

    assert callbacks.take(OTHER, signed(told, by=OTHER)) == Received(reports=0, new=0)
    assert bell.rung == []


@pytest.fixture
def heard(world: World) -> Iterator[Counter[str]]:
    """How often the database was turned to, and was asked something."""
    counted: Counter[str] = Counter()
    hearers = {
        name: lambda *_, name=name: counted.update([name]) for name in ("checkout", "before_cursor_execute")
    }
    for name, hearer in hearers.items():
        event.listen(world.db, name, hearer)
    yield counted
    for name, hearer in hearers.items():
        event.remove(world.db, name, hearer)


def test_a_message_of_a_thousand_is_one_round_trip(callbacks: Callbacks, heard: Counter[str]) -> None:
    told = callbacks.take(PARTNER, message(*(one(f"o-{n}", "PICKED_UP") for n in range(1000))))

    assert (told.new, heard["before_cursor_execute"]) == (1000, 1)


def forged(order: str) -> tuple[str, Signed]:
    good = message(one(order, "DELIVERED"))
    return PARTNER, Signed(good.id, good.timestamp, good.signatures, good.body + b" ")


def of_another(order: str) -> tuple[str, Signed]:
    return OTHER, message(one(order, "DELIVERED"))


@pytest.mark.parametrize("make", [forged, of_another])
def test_a_bad_signature_never_reaches_the_database(
    callbacks: Callbacks, heard: Counter[str], make: Callable[[str], tuple[str, Signed]]
) -> None:
    with pytest.raises(SignatureRefused):
        callbacks.take(*make("an-order"))

    assert not heard


def used_up(callbacks: Callbacks) -> None:
    with pytest.raises(RateLimited):
        for n in range(RATE):
            callbacks.take(PARTNER, message(one(f"o-{n}", "PICKED_UP")))


def test_a_partner_that_tells_too_much_is_asked_to_wait_and_no_other(
    world: World, callbacks: Callbacks
) -> None:
    used_up(callbacks)

    kept = len(fates(world))
    assert kept == RATE / 2  # half a second's worth
    with pytest.raises(RateLimited) as refused:
        callbacks.take(PARTNER, message(one("late", "PICKED_UP")))
    assert refused.value.data["retry_after_s"] > 0
    callbacks.take(OTHER, signed(FORMATS["courier-status"].example, by=OTHER))
    assert len(fates(world)) == kept + 1


def test_a_message_counts_for_all_that_it_tells(world: World, callbacks: Callbacks) -> None:
    callbacks.take(PARTNER, message(*(one(f"o-{n}", "PICKED_UP") for n in range(RATE))))

    with pytest.raises(RateLimited):
        callbacks.take(PARTNER, message(one("o", "DELIVERED")))

    assert len(fates(world)) == RATE


def test_who_signs_for_another_uses_up_nothing_of_his(callbacks: Callbacks) -> None:
    for _ in range(RATE):
        with pytest.raises(SignatureRefused):
            callbacks.take(*forged("an-order"))

    assert callbacks.take(PARTNER, message(one("o", "DELIVERED"))).new == 1


def test_nobody_else_has_callbacks(callbacks: Callbacks) -> None:
    with pytest.raises(PartnerNotFound):
        callbacks.take("benefit", message(one("o", "DELIVERED")))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"events": []},
        {"events": [one("o", "PICKED_UP")] * 1001},
        {"events": [{**one("o", "PICKED_UP"), "id": ""}]},
        {"events": [{**one("o", "PICKED_UP"), "id": "a\x00b"}]},
        {"events": [{**one("o\n", "PICKED_UP")}]},
        {"events": [{**one("o", "PICKED_UP"), "at": "2026-11-23T09:00:00"}]},
        {"events": [{**one("o", "PICKED_UP"), "at": "0001-01-01T00:00:00+10:00"}]},
        {"events": [{**one("o", "PICKED_UP"), "colour": "red"}]},
        [],
    ],
)
def test_what_is_not_in_the_format_is_refused_whole(world: World, callbacks: Callbacks, body: object) -> None:
    with pytest.raises(InvalidCallback):
        callbacks.take(PARTNER, signed(body))

    assert fates(world) == []


def test_what_is_nested_beyond_reason_is_refused_where_it_would_be_passed_over(callbacks: Callbacks) -> None:
    with pytest.raises(MalformedJson):
        callbacks.take(OTHER, signed(b'{"x":' + b"[" * 100_000, by=OTHER))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'"\\ud800"', b"[" * 100_000])
def test_what_is_no_json_is_told_as_such(callbacks: Callbacks, body: bytes) -> None:
    with pytest.raises((MalformedJson, InvalidCallback)):
        callbacks.take(PARTNER, signed(body))
