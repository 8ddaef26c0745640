"""
API keys: `uoop_PREFIX_SECRET`, kept as a digest only.

A key ends by its expiry and by nothing else: to revoke it is to let it expire now, to rotate it is to make its
successor and let it expire when the overlap is over. What was done to a key, and by whom, is kept in `key_acts`.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from app import errors
from app.database import rows
from app.tenants.service import NoTenant

ALL_SCOPES = ("orders:write", "orders:read", "events:read", "ops", "admin")
PREFIX_LENGTH = 8


class NoKey(errors.NotFound):
    """There is no such key."""

    code = "no-such-key"


class KeyEnded(errors.Conflict):
    """The key has ended already."""

    code = "key-ended"


class UnknownScope(errors.Rejected):
    """There is no such scope."""

    code = "unknown-scope"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """
    A key as it is kept; `digest` is SHA-256 of the whole key, which has 192 random bits.

    :param rate_per_s: requests a second that it may make; None: as the settings say
    :param tenant_rate_per_s: the same for all keys of its tenant together
    """

    prefix: str
    tenant_id: str
    digest: bytes
    scopes: frozenset[str]
    expires_at: datetime | None
    rate_per_s: int | None
    tenant_rate_per_s: int | None

    def matches(self, token: str) -> bool:
        """Whether the token is this key and has not expired."""
        same = hmac.compare_digest(self.digest, digest(token))
        return same and (self.expires_at is None or self.expires_at > datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class ListedKey:
    """What is told about a key; its secret is known to nobody but its owner."""

    prefix: str
    tenant_id: str
    label: str
    scopes: list[str]
    rate_per_s: int | None
    created_at: datetime
    expires_at: datetime | None
    ended: bool


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def prefix(token: str) -> str | None:
    """The visible part of a token, None if it has not the form of one."""
    parts = token.split("_", 2)
    if len(parts) != 3 or parts[0] != "uoop" or len(parts[1]) != PREFIX_LENGTH:
        return None
    return parts[1]


def new_token() -> str:
    """A new key in clear; only its digest is kept."""
    return f"uoop_{secrets.token_hex(PREFIX_LENGTH // 2)}_{secrets.token_urlsafe(24)}"


def keep(connection: Connection, token: str, tenant_id: str, *, scopes: Sequence[str]) -> None:
    """Make a key known; harmless when it is."""
    connection.execute(
        text(
            "INSERT INTO api_keys (prefix, tenant_id, digest, scopes) VALUES (:prefix, :tenant, :digest, :scopes) "
            "ON CONFLICT (prefix) DO NOTHING"
        ),
        {"prefix": prefix(token), "tenant": tenant_id, "digest": digest(token), "scopes": list(scopes)},
    )


def create(
    connection: Connection,
    tenant_id: str,
    *,
    scopes: Sequence[str],
    who: str,
    label: str = "",
    lifetime: timedelta | None = None,
    rate_per_s: int | None = None,
) -> str:
    """
    Make a key and give it in clear, which nobody can do again.

    :raises NoTenant: if there is no such tenant
    :raises UnknownScope: if a scope is none of `ALL_SCOPES`
    """
    if unknown := sorted(set(scopes) - set(ALL_SCOPES)):
        raise UnknownScope(scope=unknown[0], known=", ".join(ALL_SCOPES))
    token = new_token()
    made = connection.execute(
        text(
            "INSERT INTO api_keys (prefix, tenant_id, digest, scopes, label, rate_per_s, expires_at) "
            "SELECT :prefix, id, :digest, :scopes, :label, :rate, now() + CAST(:lifetime AS interval) "
            "FROM tenants WHERE id = :tenant"
        ),
        {
            "prefix": prefix(token),
            "tenant": tenant_id,
            "digest": digest(token),
            "scopes": list(scopes),
            "label": label,
            "rate": rate_per_s,
            "lifetime": lifetime,
        },
    )
    if made.rowcount == 0:
        raise NoTenant(tenant=tenant_id)
    _note(connection, str(prefix(token)), tenant_id, "created", who, {"scopes": list(scopes)})
    return token


def rotate(
    connection: Connection, visible: str, *, overlap: timedelta, lifetime: timedelta | None, who: str
) -> str:
    """
    Make a key's successor, of the same tenant, scopes, label and rate, and let the key end after the overlap.

    :param lifetime: of the successor; None: without end
    :raises NoKey: if there is no such key
    :raises KeyEnded: if it has ended already
    """
    old = _end(connection, visible, overlap)
    token = create(
        connection,
        old.tenant_id,
        scopes=old.scopes,
        who=who,
        label=old.label,
        lifetime=lifetime,
        rate_per_s=old.rate_per_s,
    )
    about = {"successor": prefix(token), "ends_at": old.expires_at}
    _note(connection, visible, old.tenant_id, "rotated", who, about)
    return token


def revoke(connection: Connection, visible: str, *, who: str) -> None:
    """
    End a key now.

    :raises NoKey: if there is no such key
    :raises KeyEnded: if it has ended already
    """
    old = _end(connection, visible, timedelta())
    _note(connection, visible, old.tenant_id, "revoked", who, None)


def find(connection: Connection, visible: Sequence[str]) -> dict[str, ApiKey]:
    """The keys of these prefixes, by prefix."""
    found = connection.execute(
        text(
            "SELECT k.prefix, k.tenant_id, k.digest, k.scopes, k.expires_at, k.rate_per_s, "
            "t.rate_per_s AS tenant_rate FROM api_keys k JOIN tenants t ON t.id = k.tenant_id "
            "WHERE k.prefix = ANY(:prefixes)"
        ),
        {"prefixes": list(visible)},
    )
    return {
        row.prefix: ApiKey(
            row.prefix,
            row.tenant_id,
            bytes(row.digest),
            frozenset(row.scopes),
            row.expires_at,
            row.rate_per_s,
            row.tenant_rate,
        )
        for row in found
    }


def listing(connection: Connection, tenant_id: str | None) -> list[ListedKey]:
    """All keys, of one tenant or of all, oldest first."""
    found = connection.execute(
        text(
            "SELECT prefix, tenant_id, label, scopes, rate_per_s, created_at, expires_at, "
            "coalesce(expires_at <= now(), false) FROM api_keys "
            "WHERE CAST(:tenant AS text) IS NULL OR tenant_id = :tenant ORDER BY tenant_id, created_at, prefix"
        ),
        {"tenant": tenant_id},
    )
    return [ListedKey(*row) for row in found]


def _end(connection: Connection, visible: str, after: timedelta) -> ListedKey:
    row = connection.execute(
        text(
            "UPDATE api_keys SET expires_at = least(expires_at, now() + CAST(:after AS interval)) "
            "WHERE prefix = :prefix AND (expires_at IS NULL OR expires_at > now()) "
            "RETURNING prefix, tenant_id, label, scopes, rate_per_s, created_at, expires_at, false"
        ),
        {"prefix": visible, "after": after},
    ).one_or_none()
    if row is not None:
        return ListedKey(*row)
    raise (KeyEnded if find(connection, [visible]) else NoKey)(prefix=visible)


def _note(
    connection: Connection,
    visible: str,
    tenant_id: str,
    act: str,
    who: str,
    about: Mapping[str, object] | None,
) -> None:
    connection.execute(
        text(
            "INSERT INTO key_acts (prefix, tenant_id, act, who, about) "
            "VALUES (:prefix, :tenant, :act, :who, CAST(:about AS jsonb))"
        ),
        {"prefix": visible, "tenant": tenant_id, "act": act, "who": who, "about": about and rows(about)},
    )
