"""Tenants and their API keys: `uoop_PREFIX_SECRET`, kept as a digest only."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

DEFAULT_TENANT = "default"
ALL_SCOPES = ("orders:write", "orders:read", "events:read", "ops", "admin")
PREFIX_LENGTH = 8


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept; `digest` is SHA-256 of the whole key, which has 192 random bits."""

    prefix: str
    tenant_id: str
    digest: bytes
    scopes: frozenset[str]
    expires_at: datetime | None

    def matches(self, token: str) -> bool:
        """Whether the token is this key and has not expired."""
        same = hmac.compare_digest(self.digest, digest(token))
        return same and (self.expires_at is None or self.expires_at > datetime.now(UTC))


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def prefix(token: str) -> str | None:
    """The visible part of a token, None if it has not the form of one."""
    parts = token.split("_", 2)
    if len(parts) != 3 or parts[0] != "uoop" or len(parts[1]) != PREFIX_LENGTH:
        return None
    return parts[1]


def ensure_tenant(connection: Connection, tenant_id: str, *, name: str, order_deadline_s: int) -> None:
    connection.execute(
        text(
            "INSERT INTO tenants (id, name, order_deadline_s) VALUES (:id, :name, :deadline) "
            "ON CONFLICT (id) DO UPDATE SET order_deadline_s = excluded.order_deadline_s"
        ),
        {"id": tenant_id, "name": name, "deadline": order_deadline_s},
    )


def new_token() -> str:
    """A new key in clear; only its digest is kept."""
    return f"uoop_{secrets.token_hex(PREFIX_LENGTH // 2)}_{secrets.token_urlsafe(24)}"


def keep_key(connection: Connection, token: str, tenant_id: str, *, scopes: Sequence[str]) -> None:
    """Make a key known; harmless when it is."""
    connection.execute(
        text(
            "INSERT INTO api_keys (prefix, tenant_id, digest, scopes) VALUES (:prefix, :tenant, :digest, :scopes) "
            "ON CONFLICT (prefix) DO NOTHING"
        ),
        {"prefix": prefix(token), "tenant": tenant_id, "digest": digest(token), "scopes": list(scopes)},
    )


def find_key(connection: Connection, visible: str) -> ApiKey | None:
    row = connection.execute(
        text("SELECT prefix, tenant_id, digest, scopes, expires_at FROM api_keys WHERE prefix = :prefix"),
        {"prefix": visible},
    ).one_or_none()
    if row is None:
        return None
    return ApiKey(row.prefix, row.tenant_id, bytes(row.digest), frozenset(row.scopes), row.expires_at)
