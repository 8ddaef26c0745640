"""The documented schema and the decoder say the same of the same cases."""

import json

import pytest
from jsonschema import Draft202012Validator
from orders_on_paper import SCHEMA_FAULTS, VALID

from app.orders import document


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    definitions = document.schema("#/$defs/{name}")
    return Draft202012Validator({"$ref": "#/$defs/Order", "$defs": definitions})


@pytest.mark.parametrize("body", VALID.values(), ids=VALID.keys())
def test_the_schema_takes_what_the_decoder_takes(schema, body):
    assert [error.message for error in schema.iter_errors(json.loads(body))] == []


@pytest.mark.parametrize("body", [body for body, _, _ in SCHEMA_FAULTS.values()], ids=SCHEMA_FAULTS.keys())
def test_the_schema_refuses_what_the_decoder_refuses(schema, body):
    assert not schema.is_valid(json.loads(body))
