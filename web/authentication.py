"""Who asks, and whether the key or token allows it."""

import re

from flask import g, request

from app import errors
from web import cursors
from web.services import Principal, Services

ORDERS_WRITE = "orders:write"
ORDERS_READ = "orders:read"
EVENTS_READ = "events:read"
OPS = "ops"
ADMIN = "admin"  # what holds for all tenants

TOKEN_LENGTH = 4096

# RFC 6750, section 2.1; the scheme's name is case-insensitive (RFC 9110, section 11.1)
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)")
_REALM = 'Bearer realm="uoop"'


class Unauthenticated(errors.Rejected):
    """The request carries no valid key."""

    code = "unauthenticated"


class MissingScope(errors.Rejected):
    """The key does not allow this."""

    code = "missing-scope"


def invalid_token(detail: str | None = None) -> Unauthenticated:
    """What is said of a token that opens nothing (RFC 6750, section 3.1)."""
    told = {} if detail is None else {"detail": detail}
    return Unauthenticated(challenge=f'{_REALM}, error="invalid_token"', **told)


def caller(services: Services, scope: str, *or_else: str) -> Principal:
    """
    Tell who sent the current request, and count it.

    :param or_else: scopes of which each does as well

    :raises Unauthenticated: without a token, or with one that is nobody's
    :raises MissingScope: when the token lacks the scope
    :raises RateLimited: when it is one request too many
    """
    found = services.identity.authenticate(token(request.environ.get("HTTP_AUTHORIZATION")))
    if found is None:
        raise invalid_token()
    if found.scopes.isdisjoint((scope, *or_else)):
        raise MissingScope(
            challenge=f'{_REALM}, error="insufficient_scope", scope="{scope}"',
            detail=f"The key lacks the scope {scope}.",
        )
    g.rate_limit = services.limits.take(found)
    cursors.sign_for(services, found)
    return found


def token(header: str | None) -> str:
    """
    Read an Authorization header.

    :raises Unauthenticated: unless it holds a bearer token of at most 4,096 characters
    """
    if header is None:
        raise Unauthenticated(challenge=_REALM)
    bearer = _BEARER.fullmatch(header) if len(header) <= TOKEN_LENGTH + 16 else None
    if bearer is None:
        raise invalid_token()
    return bearer[1]
