"""Order documents as a client would write them, good and bad."""

import json
from typing import Any

GOOD: dict[str, Any] = {
    "customer_id": "customer-118",
    "restaurant_id": "restaurant-42",
    "items": [
        {"sku": "machboos", "name": "Chicken machboos", "quantity": 2, "unit_price": "2.750"},
        {"sku": "karak", "name": "Karak", "quantity": 3, "unit_price": "0.3"},
    ],
    "delivery_location": {"lat": 26.2285, "lng": 50.586, "address": "Road 2803, Manama"},
    "total_amount": "6.900",
    "currency": "BHD",
    "fees": [{"name": "delivery", "amount": "0.500"}],
}
ITEM = GOOD["items"][0]
PLACE = GOOD["delivery_location"]
FROM, UNTIL = "2026-11-23T12:30:00+03:00", "2026-11-23T13:00:00+03:00"


def written(**changes: object) -> bytes:
    """Write the good order with changes; `...` leaves a field out."""
    return json.dumps(
        {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    ).encode()


def one_item(**changes: object) -> dict[str, Any]:
    return {"items": [{**ITEM, **changes}], "fees": [], "total_amount": "5.5"}


def priced(price: str, currency: str) -> bytes:
    return written(
        items=[{**ITEM, "quantity": 1, "unit_price": price}], fees=[], total_amount=price, currency=currency
    )


VALID = {
    "the good one": written(),
    "fewer decimals": written(total_amount="6.9"),
    "no fees": written(fees=..., total_amount="6.4"),
    "null for absent": written(notes=None, external_order_id=None, requested_window=None),
    "window": written(requested_window={"from": FROM, "until": UNTIL}),
    "window in utc": written(
        requested_window={"from": "2026-11-23T09:30:00Z", "until": "2026-11-23T10:00:00.5Z"}
    ),
    "preference": written(channel_preference="own_fleet", external_order_id="a/b", notes=""),
    "needs": written(delivery_location={**PLACE, "needs": ["car", "cool-box"]}),
    "five seconds": written(confirm_within_s=5),
    "a day": written(confirm_within_s=86_400),
    "colons": written(customer_id="anything/payment:refuse", notes='a: b, "c": d'),
    "arabic, escaped": written(notes="مرحبا"),
    "arabic, plain": json.dumps({**GOOD, "notes": "مرحبا"}, ensure_ascii=False).encode(),
    "escaped colon": written().replace(b"Road 2803,", b"Road\\u003a 2803"),
    "integer degrees": written(delivery_location={**PLACE, "lat": 26, "lng": -180}),
    "free": priced("0", "BHD"),
    "no decimals": priced("1200", "JPY"),
    "four decimals": priced("1.2345", "CLF"),
    "spaces": json.dumps(GOOD, indent=3, separators=(" , ", " : ")).encode(),
    "hundred items": written(items=[{**ITEM, "quantity": 1}] * 100, fees=[], total_amount="275"),
}

SCHEMA_FAULTS: dict[str, tuple[bytes, str, str]] = {
    "no customer": (written(customer_id=...), "/customer_id", "missing"),
    "empty customer": (written(customer_id=""), "/customer_id", "wrong-length"),
    "long customer": (written(customer_id="c" * 129), "/customer_id", "wrong-length"),
    "NUL": (written(customer_id="a\0b"), "/customer_id", "wrong-form"),
    "line feed at the end": (written(notes="a\n"), "/notes", "wrong-form"),
    "C1 control": (written(notes="a\u0085b"), "/notes", "wrong-form"),
    "DEL": (written(notes="a\u007fb"), "/notes", "wrong-form"),
    "unknown field": (written(tip="1"), "/tip", "unknown-field"),
    "odd unknown field": (written(**{"a/b~c": 1}), "/a~1b~0c", "unknown-field"),
    "unknown field of an item": (written(**one_item(size="L")), "/items/0/size", "unknown-field"),
    "null for required": (written(currency=None), "/currency", "wrong-type"),
    "no items": (written(items=[]), "/items", "wrong-length"),
    "too many items": (written(items=[ITEM] * 101), "/items", "wrong-length"),
    "items as object": (written(items={}), "/items", "wrong-type"),
    "item without sku": (written(items=[ITEM, {"name": "x"}]), "/items/1/sku", "missing"),
    "long sku": (written(**one_item(sku="s" * 65)), "/items/0/sku", "wrong-length"),
    "quantity zero": (written(**one_item(quantity=0)), "/items/0/quantity", "out-of-range"),
    "quantity negative": (written(**one_item(quantity=-1)), "/items/0/quantity", "out-of-range"),
    "quantity of a thousand and one": (
        written(**one_item(quantity=1001)),
        "/items/0/quantity",
        "out-of-range",
    ),
    "quantity broken": (written(**one_item(quantity=1.5)), "/items/0/quantity", "wrong-type"),
    "quantity as text": (written(**one_item(quantity="1")), "/items/0/quantity", "wrong-type"),
    "quantity true": (written(**one_item(quantity=True)), "/items/0/quantity", "wrong-type"),
    "price as number": (written(**one_item(unit_price=2.75)), "/items/0/unit_price", "wrong-type"),
    "price with exponent": (written(**one_item(unit_price="1e3")), "/items/0/unit_price", "wrong-form"),
    "price negative": (written(**one_item(unit_price="-1")), "/items/0/unit_price", "wrong-form"),
    "price with zeros before": (written(**one_item(unit_price="02.75")), "/items/0/unit_price", "wrong-form"),
    "price without digits": (written(**one_item(unit_price=".5")), "/items/0/unit_price", "wrong-form"),
    "price NaN": (written(**one_item(unit_price="NaN")), "/items/0/unit_price", "wrong-form"),
    "price with line feed": (written(**one_item(unit_price="2.75\n")), "/items/0/unit_price", "wrong-form"),
    "price in other digits": (
        written(**one_item(unit_price="\u0662.\u0667")),
        "/items/0/unit_price",
        "wrong-form",
    ),
    "price huge": (written(**one_item(unit_price="9" * 5000)), "/items/0/unit_price", "wrong-length"),
    "currency lower case": (written(currency="bhd"), "/currency", "wrong-form"),
    "latitude": (written(delivery_location={**PLACE, "lat": 90.1}), "/delivery_location/lat", "out-of-range"),
    "longitude": (
        written(delivery_location={**PLACE, "lng": -181}),
        "/delivery_location/lng",
        "out-of-range",
    ),
    "latitude as text": (
        written(delivery_location={**PLACE, "lat": "26"}),
        "/delivery_location/lat",
        "wrong-type",
    ),
    "no address": (
        written(delivery_location={"lat": 1, "lng": 1}),
        "/delivery_location/address",
        "missing",
    ),
    "a need in words": (
        written(delivery_location={**PLACE, "needs": ["car", "A cool box"]}),
        "/delivery_location/needs/1",
        "wrong-form",
    ),
    "needs without end": (
        written(delivery_location={**PLACE, "needs": ["car"] * 9}),
        "/delivery_location/needs",
        "wrong-length",
    ),
    "fees without end": (written(fees=[{"name": "f", "amount": "0"}] * 21), "/fees", "wrong-length"),
    "preference": (written(channel_preference="drone"), "/channel_preference", "unknown-value"),
    "no time at all": (written(confirm_within_s=4), "/confirm_within_s", "out-of-range"),
    "more than a day": (written(confirm_within_s=86_401), "/confirm_within_s", "out-of-range"),
    "time as text": (written(confirm_within_s="600"), "/confirm_within_s", "wrong-type"),
    "half a second": (written(confirm_within_s=5.5), "/confirm_within_s", "wrong-type"),
    "half a window": (written(requested_window={"from": FROM}), "/requested_window/until", "missing"),
    "an array": (b"[]", "", "wrong-type"),
    "null": (b"null", "", "wrong-type"),
}

OTHER_FAULTS: dict[str, tuple[bytes, str, str]] = {
    "window without offset": (
        written(requested_window={"from": "2026-11-23T12:30:00", "until": UNTIL}),
        "/requested_window/from",
        "wrong-form",
    ),
    "window backwards": (
        written(requested_window={"from": UNTIL, "until": FROM}),
        "/requested_window/until",
        "empty-window",
    ),
    "window in the year one": (
        written(requested_window={"from": "0001-01-01T00:00:00+14:00", "until": UNTIL}),
        "/requested_window/from",
        "out-of-range",
    ),
    "window in the year 9999": (
        written(requested_window={"from": FROM, "until": "9999-12-31T23:59:59-14:00"}),
        "/requested_window/until",
        "out-of-range",
    ),
    "wrong total": (written(total_amount="6.901"), "/total_amount", "wrong-total"),
    "wrong total by far": (written(total_amount="999999999999"), "/total_amount", "wrong-total"),
    "unknown currency": (written(currency="XXX"), "/currency", "unknown-currency"),
    "decimals of a price": (priced("2.75", "JPY"), "/items/0/unit_price", "too-many-decimals"),
    "decimals of a dinar": (priced("2.7500", "BHD"), "/items/0/unit_price", "too-many-decimals"),
    "decimals of a fee": (
        written(fees=[{"name": "f", "amount": "0.5000"}]),
        "/fees/0/amount",
        "too-many-decimals",
    ),
    "decimals of the total": (written(total_amount="6.9000"), "/total_amount", "too-many-decimals"),
    "key twice": (written()[:-1] + b',"currency":"BHD"}', "/currency", "duplicate-key"),
    "key twice, once escaped": (written()[:-1] + b',"c\\u0075rrency":"BHD"}', "/currency", "duplicate-key"),
    "key twice behind an escaped colon": (
        written(notes="?").replace(b"?", b"\\u003a")[:-1] + b',"currency":"BHD"}',
        "/currency",
        "duplicate-key",
    ),
    "key twice in an item": (
        written().replace(b'"quantity": 2', b'"quantity": 2, "quantity": 2'),
        "/items/0/quantity",
        "duplicate-key",
    ),
    "key twice behind an offset without colon": (
        written(requested_window={"from": FROM[:-3] + "00", "until": UNTIL})[:-1] + b',"currency":"BHD"}',
        "/currency",
        "duplicate-key",
    ),
    "20,000 times one key": (written()[:-1] + b',"notes":""' * 20_000 + b"}", "/notes", "duplicate-key"),
}

MALFORMED = {
    "nothing": b"",
    "half": written()[:-1],
    "more": written() + b"{}",
    "NaN": written().replace(b"26.2285", b"NaN"),
    "infinity": written().replace(b"26.2285", b"-Infinity"),
    "lone surrogate": written(notes="\ud800"),
    "lone low surrogate": written(notes="a\udc00b"),
    "invalid utf-8": written(notes="?").replace(b"?", b"\xff"),
    "surrogate in utf-8": written(notes="?").replace(b"?", b"\xed\xa0\x80"),
    "byte order mark": b"\xef\xbb\xbf" + written(),
    "utf-16": written().decode().encode("utf-16"),
    "raw control character": written(notes="?").replace(b"?", b"\x01"),
    "comment": b"//\n" + written(),
}

HOSTILE = {
    "deep arrays": b"[" * 100_000,
    "deep in a field": b'{"customer_id":' + b"[" * 100_000,
    "deep in an unknown field": b'{"x":' + b'{"x":' * 40_000,
    "deep in items": b'{"items":' + b"[" * 100_000,
    "5,000 digits": written().replace(b'"quantity": 2', b'"quantity": ' + b"9" * 5000),
    "5,000 digits of latitude": written().replace(b"26.2285", b"9" * 5000),
    "an exponent": written().replace(b"26.2285", b"1e400"),
    "an exponent of quantity": written().replace(b'"quantity": 2', b'"quantity": 2e0'),
}
