"""Who stands behind a token: the platform's own API keys, and bearer tokens of an issuer that it trusts."""

from sqlalchemy import Engine as Database

from infra.identity.api_keys import ApiKeys
from infra.identity.bearer_tokens import BearerTokens
from infra.identity.key_set import KeySet, source
from infra.identity.tenancy import Tenancy
from infra.settings import Settings
from web.services import Identity, Principal


def identity(settings: Settings, db: Database) -> Identity:
    """The identities that these settings admit."""
    keys = ApiKeys(db)
    if not settings.jwt_issuer:
        return keys
    key_set = KeySet(source(settings.jwt_jwks), refresh_s=settings.jwt_refresh_s)
    bearers = BearerTokens(
        key_set,
        Tenancy(db).rate_per_s,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        tenant_claim=settings.jwt_tenant_claim,
        scope_claim=settings.jwt_scope_claim,
    )
    return Both(keys, bearers)


class Both:
    """Keys by their form, all else as bearer tokens."""

    def __init__(self, keys: ApiKeys, bearers: BearerTokens) -> None:
        self._keys, self._bearers = keys, bearers

    def recognise(self, token: str) -> Principal | None:
        return self._of(token).recognise(token)

    def authenticate(self, token: str) -> Principal | None:
        return self._of(token).authenticate(token)

    def _of(self, token: str) -> Identity:
        return self._keys if token.startswith("uoop_") else self._bearers
