"""No secret and nothing of an order appears in a log, whatever goes wrong."""

import json
import logging
import time

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from fake_platform import OPERATOR, ORDER_ID, TOKEN
from jwt.algorithms import ECAlgorithm
from sqlalchemy.exc import OperationalError

from app import errors
from app.orders.group_commit import CannotAccept
from infra import logs
from infra.identity import Both
from infra.identity.bearer_tokens import BearerTokens
from infra.identity.key_set import KeySet, source
from web.description import examples
from web.description import webhooks as described

URL = "/v1/orders"
WEBHOOK, WEBHOOK_SECRET = described.WITH_SECRET["id"], described.WITH_SECRET["secret"]
CANARY = "canary-7f3a"
ORDER = {
    **examples.PLANNED_ORDER,
    "notes": CANARY,
    "customer_id": CANARY,
    "delivery_location": {**examples.ORDER["delivery_location"], "address": CANARY},
}


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


@pytest.fixture
def client(either_client):
    return either_client


@pytest.fixture
def jwt_of(platform, tmp_path):
    """Makes tokens of an issuer that the platform trusts beside its own keys."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = {**ECAlgorithm.to_jwk(private.public_key(), as_dict=True), "kid": "e"}
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public]}))
    claims = {"iss": "https://me", "aud": "uoop", "exp": time.time() + 60, "tenant": "t1"}
    bearers = BearerTokens(
        KeySet(source(str(tmp_path / "jwks.json")), refresh_s=300),
        lambda tenant: None,
        issuer="https://me",
        audience="uoop",
        tenant_claim="tenant",
        scope_claim="scope",
    )
    platform.identity = Both(platform, bearers)
    return lambda **changes: jwt.encode(claims | changes, private, "ES256", headers={"kid": "e"})


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_no_secret_is_logged(platform, headers, logged, jwt_of, client, outcome):
    good = jwt_of(scope="orders:write orders:read ops")
    wrong = [jwt_of(exp=1), jwt_of(aud="another"), jwt_of(tenant=7), good[:-8], f"{TOKEN[:-1]}x", CANARY]
    if outcome is not None:
        platform.outcome = platform.view = platform.webhooks.fails = outcome

    statuses = set()
    for token in (TOKEN, OPERATOR, good, good, *wrong):  # the hot lane knows a JWT that was shown before
        sent = {**headers, "Authorization": f"Bearer {token}"}
        for answer in (
            client.post(URL, json=ORDER, headers=sent),
            client.post(URL, json=ORDER, headers={**sent, "Content-Type": CANARY}),
            client.post(URL, data=json.dumps(ORDER)[:-1], headers=sent),
            client.post(URL, json={**ORDER, CANARY: 1, "total_amount": CANARY}, headers=sent),
            client.post(f"{URL}?validate_only={CANARY}", json=ORDER, headers=sent),
            client.get(f"{URL}/{ORDER_ID}", headers={**sent, "If-None-Match": CANARY}),
            client.get(f"{URL}/{ORDER_ID}/events", headers={**sent, "Last-Event-ID": CANARY}),
            client.get(f"{URL}?customer_id={CANARY}&cursor={CANARY}", headers=sent),
            client.post("/v1/webhooks", json=described.NEW, headers=sent),
            client.post(f"/v1/webhooks/{WEBHOOK}/rotate-secret", json={}, headers=sent),
        ):
            statuses.add(answer.status_code)

    told = logged()
    parts = [token.rpartition("." if "." in token else "_")[2] for token in (TOKEN, OPERATOR, good, *wrong)]
    secrets = {TOKEN, OPERATOR, good, *wrong, *parts, WEBHOOK_SECRET}
    assert [secret for secret in secrets if secret in told] == []
    assert {400, 401, 422} <= statuses
    assert (500 in statuses) is isinstance(outcome, ZeroDivisionError | OperationalError)


def test_the_test_would_see_one(platform, headers, logged, client):
    platform.view = RuntimeError(CANARY)

    client.get(f"{URL}/{ORDER_ID}", headers=headers)

    assert CANARY in logged()
