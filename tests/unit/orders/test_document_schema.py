"""The documented schema and the decoder say the same of the same cases."""

import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from orders_on_paper import GOOD, SCHEMA_FAULTS, VALID

from app.orders import document, review

SCHEMA = Draft202012Validator({"$ref": "#/$defs/Order", "$defs": document.schema("#/$defs/{name}")})


@pytest.mark.parametrize("body", VALID.values(), ids=VALID.keys())
def test_the_schema_takes_what_the_decoder_takes(body):
    assert [error.message for error in SCHEMA.iter_errors(json.loads(body))] == []


@pytest.mark.parametrize("body", [body for body, _, _ in SCHEMA_FAULTS.values()], ids=SCHEMA_FAULTS.keys())
def test_the_schema_refuses_what_the_decoder_refuses(body):
    assert not SCHEMA.is_valid(json.loads(body))


ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1,
        1001,
        2.5,
        91,
        "",
        "x",
        "1.250",
        "-1",
        "1e3",
        "BHD",
        "a\n",
        "2026-11-23T12:30:00Z",
        [],
        {},
    ]
)
PLACES = [
    *([name] for name in [*GOOD, "requested_window", "notes", "channel_preference", "tip"]),
    *(["items", 0, name] for name in ["sku", "name", "quantity", "unit_price", "size"]),
    *(["delivery_location", name] for name in ["lat", "lng", "address"]),
    *(["fees", 0, name] for name in ["name", "amount"]),
]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=3))
def test_decoder_review_and_schema_never_drift_apart(changes):
    written = json.loads(json.dumps(GOOD))
    for (*way, last), value in changes:
        place = written
        for step in way:
            place = (
                place[step]
                if isinstance(place, dict | list) and place and (step in place or step == 0)
                else {}
            )
        if isinstance(place, dict):
            place[last] = value

    told = [SCHEMA.is_valid(written), not review.found(written, document.Order, {}), decodes(written)]

    assert told in ([True] * 3, [False] * 3)


def decodes(value: object) -> bool:
    try:
        msgspec.json.decode(json.dumps(value), type=document.Order)
    except msgspec.ValidationError:
        return False
    return True
