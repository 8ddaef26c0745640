import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orders_on_paper import (
    FROM,
    GOOD,
    HOSTILE,
    ITEM,
    MALFORMED,
    OTHER_FAULTS,
    SCHEMA_FAULTS,
    UNTIL,
    VALID,
    one_item,
    written,
)

from app.orders import document
from app.orders.currencies import EXPONENTS


@pytest.mark.parametrize("body", VALID.values(), ids=VALID.keys())
def test_a_valid_order_is_read(body):
    assert document.decode(body).restaurant_id == "restaurant-42"


FAULTS = {**SCHEMA_FAULTS, **OTHER_FAULTS}


@pytest.mark.parametrize(("body", "pointer", "code"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_named_and_pointed_at(body, pointer, code):
    with pytest.raises(document.InvalidOrder) as refused:
        document.decode(body)

    assert refused.value.code == "invalid-order"
    first = refused.value.faults[0]
    assert (first.pointer, first.code) == (pointer, code)


def test_every_fault_is_told_at_once():
    body = written(
        customer_id="a\0b",
        restaurant_id=...,
        items=[{**ITEM, "quantity": -1, "size": "L"}, {**ITEM, "unit_price": "1e3"}, "three", ITEM],
        fees=[{"name": "f", "amount": "0.12345"}, {"name": "g", "amount": "0.1234"}],
        delivery_location={"lat": 91, "lng": "east", "address": ""},
        currency="BHD",
        requested_window={"from": UNTIL, "until": FROM},
        tip=1,
    ).replace(b'"lat": 91', b'"lat": 91, "lat": 91')

    with pytest.raises(document.InvalidOrder) as refused:
        document.decode(body)

    assert {(fault.pointer, fault.code) for fault in refused.value.faults} == {
        ("/customer_id", "wrong-form"),
        ("/restaurant_id", "missing"),
        ("/items/0/quantity", "out-of-range"),
        ("/items/0/size", "unknown-field"),
        ("/items/1/unit_price", "wrong-form"),
        ("/items/2", "wrong-type"),
        ("/fees/0/amount", "wrong-form"),
        ("/fees/1/amount", "too-many-decimals"),
        ("/delivery_location/lat", "duplicate-key"),
        ("/delivery_location/lat", "out-of-range"),
        ("/delivery_location/lng", "wrong-type"),
        ("/delivery_location/address", "wrong-length"),
        ("/requested_window/until", "empty-window"),
        ("/tip", "unknown-field"),
    }


def test_the_faults_that_are_told_have_an_end():
    with pytest.raises(document.InvalidOrder) as refused:
        document.decode(written(**{f"x{n}": n for n in range(5000)}))

    assert len(refused.value.faults) == 100


@pytest.mark.parametrize(
    "body",
    [
        written(tip=1).replace(b"Road", b"\\ud800"),
        written(tip=1)[:-1] + b',"x":NaN}',
        written(tip=1)[:-1] + b',"x":' + b"[" * 100_000,
        written(tip=1) + b"x",
    ],
    ids=["lone surrogate", "NaN", "deep", "more"],
)
def test_what_follows_a_fault_is_looked_at_as_well(body):
    with pytest.raises(document.InvalidOrder) as refused:
        document.decode(body)

    assert "/tip" not in refused.value.faults[0].pointer


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_json_is_refused(body):
    with pytest.raises(document.MalformedJson) as refused:
        document.decode(body)

    assert refused.value.code == "malformed-json"


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies_are_refused(body):
    with pytest.raises(document.InvalidOrder):
        document.decode(body)


def test_messages_echo_little():
    with pytest.raises(document.InvalidOrder) as refused:
        document.decode(b'{"' + b"x" * 200_000 + b'":1}')

    assert len(msgspec.json.encode(refused.value.faults)) < 1000


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (written(), True),
        (written(notes=None), True),
        (msgspec.json.encode(dict(reversed(GOOD.items()))), True),
        (written(total_amount="6.9"), False),
        (written(notes="x"), False),
        (written(confirm_within_s=600), False),
        (written(**one_item()), False),
    ],
)
def test_a_fingerprint_tells_content_from_writing(other, same):
    mine = document.fingerprint(document.decode(written()))

    assert (document.fingerprint(document.decode(other)) == mine) is same
    assert len(mine) == 32


@pytest.mark.parametrize(
    ("currency", "exponent"),
    [
        ("JPY", 0),
        ("ISK", 0),
        ("BHD", 3),
        ("KWD", 3),
        ("EUR", 2),
        ("MRU", 2),
        ("CLF", 4),
        ("UYW", 4),
        ("XAU", None),
    ],
)
def test_a_currency_has_the_exponent_of_iso_4217(currency, exponent):
    assert EXPONENTS.get(currency) == exponent


# A busy machine is no fault of the decoder.
patiently = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("1.250"),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=6), inside, max_size=3),
    max_leaves=6,
)


def refuse_or_read(body: bytes) -> None:
    try:
        document.decode(body)
    except document.InvalidOrder as refused:
        assert refused.faults


@patiently
@given(st.binary(max_size=60))
def test_no_bytes_break_the_decoder(body):
    refuse_or_read(body)


@patiently
@given(st.dictionaries(st.sampled_from([*GOOD, "requested_window", "notes", "x"]), json_values, max_size=4))
def test_no_values_break_the_decoder(changes):
    refuse_or_read(written(**changes))


@patiently
@given(st.data())
def test_no_damage_breaks_the_decoder(data):
    body = bytearray(data.draw(st.sampled_from([*VALID.values()])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

    refuse_or_read(bytes(body))
