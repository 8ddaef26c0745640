"""No secret and nothing of an order appears in a log, whatever goes wrong."""

import json
import logging

import pytest
import structlog
from fake_platform import ORDER_ID, TOKEN
from sqlalchemy.exc import OperationalError

from app import errors
from app.orders.group_commit import CannotAccept
from infra import logs
from web.app import create_app
from web.description import examples

CANARY = "canary-7f3a"
ORDER = {
    **examples.PLANNED_ORDER,
    "notes": CANARY,
    "customer_id": CANARY,
    "delivery_location": {**examples.ORDER["delivery_location"], "address": CANARY},
}
SECRETS = (CANARY, TOKEN, TOKEN.split("_", 2)[2])


@pytest.fixture
def logged(capsys, caplog):
    """All that was written, by whatever way, since the test began."""
    before, configured = logging.getLogger().handlers[:], structlog.get_config()
    logs.configure("debug")
    logging.getLogger().addHandler(caplog.handler)
    yield lambda: "".join(capsys.readouterr()) + caplog.text
    logging.getLogger().handlers[:] = before
    structlog.configure(**configured)


OUTCOMES = [
    None,
    CannotAccept(),
    errors.Conflict(order_id="x"),
    TimeoutError(),
    OperationalError("INSERT INTO orders", {"notes": CANARY}, Exception("gone"), hide_parameters=True),
    ZeroDivisionError(),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_no_secret_is_logged(platform, headers, logged, outcome):
    client = create_app(platform.services()).test_client()
    if outcome is not None:
        platform.outcome = platform.view = outcome

    client.post("/v1/orders", json=ORDER, headers=headers)
    client.post("/v1/orders", data=json.dumps(ORDER)[:-1], headers=headers)
    client.post("/v1/orders", json={**ORDER, CANARY: 1, "total_amount": CANARY}, headers=headers)
    client.post("/v1/orders", json=ORDER, headers={**headers, "Authorization": f"Bearer {CANARY}"})
    client.get(f"/v1/orders/{ORDER_ID}", headers=headers)
    client.get(f"/v1/orders?customer_id={CANARY}&cursor={CANARY}", headers=headers)

    told = logged()
    assert [secret for secret in SECRETS if secret in told] == []


def test_the_test_would_see_one(platform, headers, logged):
    platform.view = RuntimeError(CANARY)

    create_app(platform.services()).test_client().get(f"/v1/orders/{ORDER_ID}", headers=headers)

    assert CANARY in logged()
