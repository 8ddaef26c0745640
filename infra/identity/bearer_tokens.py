"""
JWT bearer tokens of one issuer (RFC 7519, held as RFC 8725 advises).

The algorithm is told by the issuer's key, never by the token: there is no `none` and no HMAC to be confused with.
A token that was found good is remembered for half a minute, by its digest, so that a client's next requests cost a
hash and no signature.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from app.tenants.keys import ALL_SCOPES
from app.tenants.service import NoTenant
from infra.identity.key_set import KeySet
from web.authentication import invalid_token
from web.services import Principal

LEEWAY_S = 30
REMEMBERED_S = 30.0
REMEMBERED = 10_000
SUBJECT_LENGTH = 64

# Also what a token's header can be made to raise in the parser: it is read before the signature can be checked.
_BROKEN = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


class BearerTokens:
    """Verifies tokens; the tenant and the scopes come from claims."""

    def __init__(
        self,
        keys: KeySet,
        rate_of_tenant: Callable[[str], int | None],
        *,
        issuer: str,
        audience: str,
        tenant_claim: str,
        scope_claim: str,
    ) -> None:
        """:param rate_of_tenant: as `Tenancy.rate_per_s`; raises NoTenant"""
        self._keys, self._rate_of_tenant = keys, rate_of_tenant
        self._issuer, self._audience = issuer, audience
        self._tenant_claim, self._scope_claim = tenant_claim, scope_claim
        self._known: dict[bytes, tuple[float, Principal]] = {}

    def recognise(self, token: str) -> Principal | None:
        """Whose token this is, if it was verified a moment ago."""
        known = self._known.get(_digest(token))
        return known[1] if known and known[0] > time.time() else None

    def authenticate(self, token: str) -> Principal | None:
        """
        Whose token this is.

        :raises Unauthenticated: with what is wrong with it
        :raises Unavailable: if the issuer's keys or the tenants cannot be read
        """
        found = self.recognise(token)
        if found is None:
            claims = self._verified(token)
            found = self._principal(claims)
            self._remember(token, claims, found)
        return found

    def _verified(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except _BROKEN:
            raise invalid_token("It is neither an API key nor a JWT.") from None
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise invalid_token("The token does not say by which key it is signed (kid).")
        key = self._keys.find(key_id)
        if key is None:
            raise invalid_token("The token is signed by a key that its issuer does not publish.")
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise invalid_token("The token has expired.") from None
        except jwt.ImmatureSignatureError:
            raise invalid_token("The token is not valid yet.") from None
        except _BROKEN:
            raise invalid_token("The token is not one of our issuer's for us.") from None
        return claims

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        tenant_id = claims.get(self._tenant_claim)
        if not isinstance(tenant_id, str):
            raise invalid_token("The token names no tenant.")
        try:
            rate_per_s = self._rate_of_tenant(tenant_id)
        except NoTenant:
            raise invalid_token("The token's tenant is not one of this platform.") from None
        subject = "".join(c for c in str(claims.get("sub", "")) if c.isprintable())[:SUBJECT_LENGTH]
        return Principal(tenant_id, f"jwt {subject}", self._scopes(claims), None, rate_per_s)

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Scopes as one string (RFC 8693, section 4.2) or as a list; those that are not ours mean nothing here."""
        told = claims.get(self._scope_claim, "")
        listed = told.split(" ") if isinstance(told, str) else told if isinstance(told, list) else []
        return frozenset(scope for scope in ALL_SCOPES if scope in listed)

    def _remember(self, token: str, claims: Mapping[str, Any], found: Principal) -> None:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[_digest(token)] = (min(float(claims["exp"]), time.time() + REMEMBERED_S), found)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
