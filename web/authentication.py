"""Who asks, and whether the key allows it."""

import re

from flask import request

from app import errors
from web.services import Principal, Services

ORDERS_WRITE = "orders:write"
ORDERS_READ = "orders:read"
EVENTS_READ = "events:read"
OPS = "ops"
ADMIN = "admin"  # what holds for all tenants

# RFC 6750, section 2.1; the scheme's name is case-insensitive (RFC 9110, section 11.1)
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)")
_REALM = 'Bearer realm="uoop"'


class Unauthenticated(errors.Rejected):
    """The request carries no valid key."""

    code = "unauthenticated"


class MissingScope(errors.Rejected):
    """The key does not allow this."""

    code = "missing-scope"


def caller(services: Services, scope: str) -> Principal:
    """
    Tell who sent the current request.

    :raises Unauthenticated: without a key, or with one that is nobody's
    :raises MissingScope: when the key lacks the scope
    """
    return principal(services, request.environ.get("HTTP_AUTHORIZATION"), scope)


def principal(services: Services, header: str | None, scope: str) -> Principal:
    """Tell whose Authorization header this is; raises as `caller` does."""
    if header is None:
        raise Unauthenticated(challenge=_REALM)
    bearer = _BEARER.fullmatch(header)
    found = services.authenticate(bearer[1]) if bearer else None
    if found is None:
        raise Unauthenticated(challenge=f'{_REALM}, error="invalid_token"')
    if scope not in found.scopes:
        raise MissingScope(
            challenge=f'{_REALM}, error="insufficient_scope", scope="{scope}"',
            detail=f"The key lacks the scope {scope}.",
        )
    return found
