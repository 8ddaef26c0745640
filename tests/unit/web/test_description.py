"""The description says what the routes do."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.orders import document
from web.app import create_app
from web.description import bounds, examples, problem_pages

PAGES = {"/openapi.json", "/docs", "/docs/{asset}", "/problems", "/problems/{code}"}


@pytest.fixture
def described(client) -> dict:
    return client.get("/openapi.json").json


def test_the_description_is_valid_openapi(described):
    assert [error.message for error in OpenAPIV31SpecValidator(described).iter_errors()] == []


def test_description_and_routes_agree(described, platform):
    rules = create_app(platform.services()).url_map.iter_rules()
    routes = {
        (re.sub(r"<(\w+:)?(\w+)>", r"{\2}", rule.rule), method.lower())
        for rule in rules
        for method in rule.methods - {"HEAD"}
    }
    told = {
        (path, method)
        for path, item in described["paths"].items()
        for method in item
        if method != "parameters"
    }

    assert {route for route in routes if route[0] not in PAGES} == told


def test_every_example_keeps_its_schema(described):
    checked = 0
    for schema, example in media_examples(described):
        problems = Draft202012Validator({**schema, "components": described["components"]}).iter_errors(
            example
        )
        assert [error.message for error in problems] == []
        checked += 1

    assert checked > 20


@pytest.mark.parametrize("order", [examples.ORDER, examples.PLANNED_ORDER])
def test_the_examples_are_orders(client, headers, order):
    assert client.post("/v1/orders", json=order, headers=headers).status_code == 202


def test_the_order_is_described_by_its_own_structs(described):
    schemas = described["components"]["schemas"]

    own = document.schema("#/components/schemas/{name}")["Order"]
    assert schemas["SubmittedOrder"] == bounds.bounded(own)


def test_no_component_is_left_over(described):
    written = str(described)

    assert [name for name in described["components"]["schemas"] if f"/schemas/{name}'" not in written] == []


def test_the_page_asks_nobody_else(client):
    page = client.get("/docs")

    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert all(address.startswith("/") for address in linked)
    assert {client.get(address, buffered=True).status_code for address in linked} == {200}


def media_examples(described):
    """Yield every (schema, example) of requests and answers."""
    for item in described["paths"].values():
        for operation in (item[method] for method in item if method != "parameters"):
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for media in (media for body in bodies for media in body.get("content", {}).values()):
                told = [media["example"]] if "example" in media else []
                told += [each["value"] for each in media.get("examples", {}).values()]
                yield from ((media["schema"], each) for each in told)


def test_the_pages_of_problems_are_up_to_date():
    folder = Path(__file__).parents[3] / "docs" / "problems"

    assert {path.name: path.read_text() for path in folder.iterdir()} == problem_pages.pages()


def test_every_text_list_and_whole_number_has_its_bounds(described):
    wanted = {"string": {"maxLength", "enum", "const"}, "array": {"maxItems"}, "integer": {"maximum"}}

    unbounded = [
        schema for schema in schemas_in(described) if not schema.keys() & wanted.get(schema["type"], {"type"})
    ]

    assert unbounded == []


def schemas_in(part):
    """Yield every schema of a type, wherever it stands."""
    if isinstance(part, list):
        for each in part:
            yield from schemas_in(each)
    elif isinstance(part, dict):
        if isinstance(part.get("type"), str) and part["type"] in {"string", "array", "integer"}:
            yield part
        for name, each in part.items():
            if name not in {"example", "examples"}:
                yield from schemas_in(each)
