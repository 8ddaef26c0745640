"""Tokens of the issuer open the door; everything else that looks like one does not."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.tenants.service import NoTenant
from infra.identity import key_set
from infra.identity.bearer_tokens import BearerTokens
from infra.identity.key_set import AGAIN_AFTER_S, KeySet, NoKeySet
from web.authentication import Unauthenticated

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is the point
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ISSUER, AUDIENCE = "https://issuer.example", "uoop"


def public(key: Any, kid: str, **more: str) -> dict[str, Any]:
    algorithm = jwt.algorithms.ECAlgorithm if key is EC else jwt.algorithms.RSAAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **more}


PUBLISHED = [public(RSA, "r"), public(EC, "e"), public(WEAK, "weak"), public(RSA, "enc", use="enc")]
PEM = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


class Issuer:
    """Publishes keys, counts how often it is asked, and can be away."""

    def __init__(self) -> None:
        self.keys, self.asked, self.now, self.away = [*PUBLISHED], 0, 1000.0, False

    def read(self) -> bytes:
        self.asked += 1
        if self.away:
            raise TimeoutError("away")
        return json.dumps({"keys": self.keys}).encode()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def rate_of(tenant_id: str) -> int | None:
    if tenant_id != "acme":
        raise NoTenant(tenant=tenant_id)
    return 7


@pytest.fixture
def bearers(issuer: Issuer) -> BearerTokens:
    keys = KeySet(issuer.read, refresh_s=300, clock=lambda: issuer.now)
    return BearerTokens(
        keys, rate_of, issuer=ISSUER, audience=AUDIENCE, tenant_claim="tenant", scope_claim="scope"
    )


def claims(**changes: object) -> dict[str, Any]:
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": int(time.time()) + 600,
        "sub": "shop-7",
        "tenant": "acme",
        "scope": "orders:write profile orders:read",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def signed(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "r", **changes: object) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers={"kid": kid} if kid else None)


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header: object, mac: Callable[[bytes], bytes] = lambda _: b"") -> str:
    told = f"{part(header)}.{part(claims())}"
    return f"{told}.{part(mac(told.encode()))}"


def confused(told: bytes) -> bytes:
    """An HMAC with the public key as its secret."""
    return hmac.digest(PEM, told, hashlib.sha256)


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA, "RS256", "r"), (EC, "ES256", "e")])
def test_a_token_of_the_issuer_is_its_tenants(bearers, key, algorithm, kid):
    found = bearers.authenticate(signed(key, algorithm, kid))

    assert (found.tenant_id, found.key_prefix, found.tenant_rate_per_s) == ("acme", "jwt shop-7", 7)
    assert found.scopes == {"orders:write", "orders:read"}


def test_scopes_may_be_a_list_and_an_audience_one_of_many(bearers):
    found = bearers.authenticate(signed(scope=["ops", 7, "root"], aud=["other", AUDIENCE]))

    assert found.scopes == {"ops"}


REFUSED = {
    "no token": "nonsense",
    "three dots": "a.b.c",
    "alg none": by_hand({"alg": "none", "kid": "r"}),
    "alg None": by_hand({"alg": "nOnE", "kid": "r"}),
    "no alg": by_hand({"kid": "r"}),
    "HMAC with the public key": by_hand({"alg": "HS256", "kid": "r"}, confused),
    "ES256 by an RSA key's id": signed(EC, "ES256", "r"),
    "RS256 by an EC key's id": signed(RSA, "RS256", "e"),
    "RS512": signed(RSA, "RS512"),
    "PS256": signed(RSA, "PS256"),
    "another's signature": signed(STRANGER),
    "no key id": signed(kid=None),
    "a key id that is no text": by_hand({"alg": "RS256", "kid": 7}),
    "a key id as a path": by_hand({"alg": "RS256", "kid": "../../../dev/null"}),
    "a short key": by_hand({"alg": "RS256", "kid": "weak"}),
    "a key for encryption": by_hand({"alg": "RS256", "kid": "enc"}),
    "its own key in the header": by_hand({"alg": "RS256", "kid": "s", "jwk": public(STRANGER, "s")}),
    "an unknown critical extension": jwt.encode(
        claims(), RSA, "RS256", headers={"kid": "r", "crit": ["x"], "x": 1}
    ),
    "expired": signed(exp=int(time.time()) - 60),
    "without an end": signed(exp=...),
    "an end that is no number": signed(exp="never"),
    "not valid yet": signed(nbf=int(time.time()) + 600),
    "other issuer": signed(iss="https://elsewhere.example"),
    "no issuer": signed(iss=...),
    "other audience": signed(aud="somebody"),
    "no audience": signed(aud=...),
    "no tenant": signed(tenant=...),
    "a tenant that is no text": signed(tenant=["acme"]),
    "unknown tenant": signed(tenant="nobody"),
    "deep header": f"{part(b'[' * 2000)}.e30.x",
    "header of another kind": f"{part([])}.e30.x",
    "a payload exchanged": ".".join(
        [signed().split(".")[0], part(claims(tenant="other")), signed().split(".")[2]]
    ),
}


@pytest.mark.parametrize("token", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_a_good_token_is_refused(bearers, token):
    with pytest.raises(Unauthenticated) as refused:
        bearers.authenticate(token)

    assert refused.value.data["challenge"] == 'Bearer realm="uoop", error="invalid_token"'
    assert bearers.recognise(token) is None


def test_a_token_found_good_is_recognised_from_memory_until_its_end(bearers):
    ending, lasting = signed(exp=int(time.time()) - 1), signed()  # the first is within the leeway

    bearers.authenticate(ending)
    found = bearers.authenticate(lasting)

    assert bearers.recognise(lasting) == found
    assert bearers.recognise(ending) is None


def test_invented_key_ids_do_not_make_a_request_each(bearers, issuer):
    for n in range(50):
        with pytest.raises(Unauthenticated):
            bearers.authenticate(signed(kid=f"invented-{n}"))

    assert issuer.asked == 1


def test_a_new_key_is_known_as_soon_as_the_set_may_be_asked_again(bearers, issuer):
    bearers.authenticate(signed())
    issuer.keys.append(public(STRANGER, "new"))
    issuer.now += AGAIN_AFTER_S

    assert bearers.authenticate(signed(STRANGER, kid="new")).tenant_id == "acme"
    assert issuer.asked == 2


def test_a_key_that_is_withdrawn_opens_nothing_after_the_refresh(bearers, issuer):
    bearers.authenticate(signed())
    issuer.keys.clear()
    issuer.now += 300

    with pytest.raises(Unauthenticated):
        bearers.authenticate(signed(sub="another"))


def test_an_issuer_that_is_away_leaves_the_keys_that_are_known(bearers, issuer):
    bearers.authenticate(signed())
    issuer.away = True
    issuer.now += 10_000

    assert bearers.authenticate(signed(sub="another")).tenant_id == "acme"


def test_keys_that_were_never_read_are_our_failure(bearers, issuer):
    issuer.away = True

    with pytest.raises(NoKeySet):
        bearers.authenticate(signed())


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": {}}', b"\xff"])
def test_what_is_no_key_set_is_not_taken_for_one(document):
    with pytest.raises(ValueError):
        key_set.parse(document)


def test_a_file_is_read_as_it_is_now(home):
    place = home / "jwks.json"
    place.write_bytes(b"one")
    read = key_set.source(str(place))
    place.write_bytes(b"two")

    assert read() == b"two"
