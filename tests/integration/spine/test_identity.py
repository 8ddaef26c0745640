"""Keys open the door for their tenant until they end, and what was done to them is kept."""

import json
import time
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Engine as Database
from sqlalchemy import text

from app.tenants import keys, service
from app.tenants.keys import KeyEnded, NoKey, UnknownScope
from app.tenants.service import NoTenant, TenantTaken
from infra.identity import api_keys, identity
from infra.identity.api_keys import ApiKeys, TooManyUnknown
from infra.identity.tenancy import Tenancy
from infra.settings import Settings

DAY = timedelta(days=1)


@pytest.fixture
def acme(db: Database) -> str:
    with db.begin() as connection:
        service.create_tenant(connection, "acme", name="Acme", order_deadline_s=900, rate_per_s=50)
    return "acme"


def made(db: Database, tenant: str, **more: object) -> str:
    with db.begin() as connection:
        return keys.create(connection, tenant, **{"scopes": ["orders:read"], "who": "sara", **more})  # type: ignore[arg-type]


def visible(token: str) -> str:
    return str(keys.prefix(token))


def end_now(db: Database, token: str) -> None:
    with db.begin() as connection:
        keys.revoke(connection, visible(token), who="sara")


def test_a_key_opens_for_its_tenant_with_its_scopes(db: Database, acme: str) -> None:
    token = made(db, acme, scopes=["ops", "orders:read"], rate_per_s=5)

    found = ApiKeys(db).authenticate(token)

    assert found
    assert (found.tenant_id, found.key_prefix) == ("acme", visible(token))
    assert found.scopes == {"ops", "orders:read"}
    assert (found.rate_per_s, found.tenant_rate_per_s) == (5, 50)


def test_the_secret_is_kept_nowhere(db: Database, acme: str) -> None:
    token = made(db, acme, label="till 7")

    with db.begin() as connection:
        stored = connection.execute(
            text("SELECT k::text FROM api_keys k UNION SELECT a::text FROM key_acts a")
        ).all()
    assert token.split("_", 2)[2] not in str(stored)
    assert visible(token) in str(stored)


def test_a_secret_is_compared_in_a_time_that_tells_nothing(
    db: Database, acme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, compared = made(db, acme), []
    same = keys.hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda *sides: compared.append(sides) or same(*sides))

    ApiKeys(db).authenticate(token)

    assert keys.digest(token) in compared[0]


def test_a_wrong_secret_opens_nothing(db: Database, acme: str) -> None:
    token = made(db, acme)
    door = ApiKeys(db)

    assert door.authenticate(token[:-1] + ("a" if token[-1] != "a" else "b")) is None
    assert door.authenticate(token)


def test_a_key_is_recognised_once_it_was_shown(db: Database, acme: str) -> None:
    token = made(db, acme)
    door = ApiKeys(db)

    before = door.recognise(token)
    door.authenticate(token)

    assert before is None
    assert door.recognise(token)


def test_a_revoked_key_opens_nothing_once_the_keys_were_read_again(db: Database, acme: str) -> None:
    token, other = made(db, acme), made(db, acme)
    door = ApiKeys(db)
    assert door.authenticate(token)
    assert door.authenticate(other)

    end_now(db, token)
    door.refresh()

    assert door.authenticate(token) is None
    assert door.recognise(token) is None
    assert door.recognise(other)


def test_keys_are_read_again_by_themselves(
    db: Database, acme: str, monkeypatch: pytest.MonkeyPatch, eventually: object
) -> None:
    monkeypatch.setattr(api_keys, "LOOK_EVERY_S", 0.01)
    token = made(db, acme)
    door = ApiKeys(db)
    assert door.authenticate(token)

    end_now(db, token)

    eventually(lambda: door.recognise(token) is None)  # type: ignore[operator]


def test_a_rotated_key_goes_on_beside_its_successor_until_the_overlap_is_over(
    db: Database, acme: str
) -> None:
    token = made(db, acme, label="till 7", rate_per_s=3)
    with db.begin() as connection:
        new = keys.rotate(connection, visible(token), overlap=DAY, lifetime=None, who="sara")
        old, successor = keys.listing(connection, acme)
        (left,) = connection.execute(
            text("SELECT expires_at - now() FROM api_keys WHERE prefix = :prefix"), {"prefix": visible(token)}
        ).scalars()
    door = ApiKeys(db)

    assert (successor.label, successor.scopes, successor.rate_per_s) == (old.label, old.scopes, 3)
    assert successor.expires_at is None
    assert timedelta(hours=23) < left <= DAY
    assert door.authenticate(token)
    assert door.authenticate(new)


def test_rotation_never_prolongs_a_key(db: Database, acme: str) -> None:
    token = made(db, acme, lifetime=timedelta(hours=1))
    with db.begin() as connection:
        (before,) = keys.listing(connection, acme)
        keys.rotate(connection, visible(token), overlap=DAY, lifetime=None, who="sara")
        (after, _) = keys.listing(connection, acme)

    assert after.expires_at == before.expires_at


def test_what_was_done_to_a_key_is_kept(db: Database, acme: str) -> None:
    token = made(db, acme)
    with db.begin() as connection:
        keys.rotate(connection, visible(token), overlap=DAY, lifetime=None, who="omar")
    end_now(db, token)

    with db.begin() as connection:
        acts = connection.execute(
            text("SELECT act, who, tenant_id FROM key_acts WHERE prefix = :prefix ORDER BY id"),
            {"prefix": visible(token)},
        ).all()
    assert acts == [("created", "sara", "acme"), ("rotated", "omar", "acme"), ("revoked", "sara", "acme")]


def test_what_cannot_be_is_refused(db: Database, acme: str) -> None:
    token = made(db, acme)
    end_now(db, token)

    with pytest.raises(KeyEnded):
        end_now(db, token)
    with pytest.raises(NoKey):
        end_now(db, "uoop_00000000_x")
    with pytest.raises(UnknownScope):
        made(db, acme, scopes=["orders:writ"])
    with pytest.raises(NoTenant):
        made(db, "acm")
    with db.begin() as connection, pytest.raises(TenantTaken):
        service.create_tenant(connection, acme, name="again", order_deadline_s=900, rate_per_s=None)


def test_unknown_keys_cost_a_bounded_number_of_queries(
    db: Database, acme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "UNKNOWN_PER_S", 0)
    door = ApiKeys(db)

    with pytest.raises(TooManyUnknown):
        door.authenticate("uoop_00000000_x")


def test_tenants_tell_their_rate_and_how_many_keys_are_in_use(db: Database, acme: str) -> None:
    made(db, acme)
    end_now(db, made(db, acme))
    with db.begin() as connection:
        service.set_rate(connection, acme, 9)
        (found,) = [each for each in service.tenants(connection) if each.id == acme]

    assert (found.keys, found.rate_per_s) == (1, 9)
    assert Tenancy(db).rate_per_s(acme) == 9
    with pytest.raises(NoTenant):
        Tenancy(db).rate_per_s("nobody")


def test_keys_and_tokens_of_the_issuer_open_one_door(db: Database, acme: str, home: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = {**jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True), "kid": "e"}
    (home / "jwks.json").write_text(json.dumps({"keys": [public]}))
    settings = Settings(
        home=home, jwt_issuer="https://me", jwt_audience="uoop", jwt_jwks=str(home / "jwks.json")
    )
    claims = {"iss": "https://me", "aud": "uoop", "exp": time.time() + 60, "tenant": acme, "scope": "ops"}
    token = jwt.encode(claims, private, "ES256", headers={"kid": "e"})
    door = identity(settings, db)

    by_key, by_token = door.authenticate(made(db, acme)), door.authenticate(token)

    assert by_key
    assert by_token
    assert (by_key.tenant_id, by_key.scopes) == (acme, {"orders:read"})
    assert (by_token.tenant_id, by_token.scopes, by_token.tenant_rate_per_s) == (acme, {"ops"}, 50)
    assert door.recognise(token) == by_token


def test_without_an_issuer_a_token_opens_nothing(db: Database, home: Path) -> None:
    assert identity(Settings(home=home), db).authenticate("a.b.c") is None
