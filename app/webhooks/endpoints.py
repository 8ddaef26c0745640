"""Who is to be told: written and read per tenant."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import uuid_utils
from sqlalchemy import Connection, Row, text

from app.outbox.model import EventType
from app.webhooks import schedule
from app.webhooks.model import (
    AT_MOST,
    Changes,
    DisabledReason,
    TooManyWebhooks,
    Webhook,
    WebhookNotFound,
    WebhookState,
)
from app.webhooks.schedule import Verdict

_SHOWN = (
    "id, url, types, description, state, reason, failures, failing_since, created_at, updated_at, "
    "CASE WHEN old_until > now() THEN old_until END AS old_secret_until"
)
_OURS = "WHERE tenant_id = :tenant AND id = :id"


def create(
    connection: Connection,
    tenant_id: str,
    *,
    url: str,
    types: Sequence[str],
    description: str | None,
    sealed: bytes,
) -> Webhook:
    """:raises TooManyWebhooks:"""
    row = connection.execute(
        text(f"""
            INSERT INTO webhook_endpoints (id, tenant_id, url, types, description, secret)
            SELECT :id, :tenant, :url, :types, :description, :secret
            WHERE (SELECT count(*) FROM webhook_endpoints WHERE tenant_id = :tenant) < :at_most
            RETURNING {_SHOWN}
        """),
        {
            "id": str(uuid_utils.uuid7()),
            "tenant": tenant_id,
            "url": url,
            "types": list(types),
            "description": description,
            "secret": sealed,
            "at_most": AT_MOST,
        },
    ).one_or_none()
    if row is None:
        raise TooManyWebhooks(detail=f"There may be {AT_MOST}.")
    return _webhook(row)


def of_tenant(connection: Connection, tenant_id: str) -> list[Webhook]:
    """Oldest first."""
    result = connection.execute(
        text(f"SELECT {_SHOWN} FROM webhook_endpoints WHERE tenant_id = :tenant ORDER BY created_at, id"),
        {"tenant": tenant_id},
    )
    return [_webhook(row) for row in result]


def one(connection: Connection, tenant_id: str, endpoint_id: str) -> Webhook:
    """:raises WebhookNotFound: also if it is another tenant's"""
    found = connection.execute(
        text(f"SELECT {_SHOWN} FROM webhook_endpoints {_OURS}"), {"tenant": tenant_id, "id": endpoint_id}
    )
    return _found(found.one_or_none())


def keys(connection: Connection, tenant_id: str, endpoint_id: str) -> list[bytes]:
    """
    What signs now, sealed, the newest first.

    :raises WebhookNotFound:
    """
    row = connection.execute(
        text(
            "SELECT secret, CASE WHEN old_until > now() THEN old_secret END AS old_secret "
            f"FROM webhook_endpoints {_OURS}"
        ),
        {"tenant": tenant_id, "id": endpoint_id},
    ).one_or_none()
    if row is None:
        raise WebhookNotFound
    return [bytes(key) for key in row if key is not None]


def change(connection: Connection, tenant_id: str, endpoint_id: str, changes: Changes) -> Webhook:
    """
    Another address begins with a clean slate.

    :raises WebhookNotFound:
    """
    return _update(
        connection,
        tenant_id,
        endpoint_id,
        "url = coalesce(:url, url), types = coalesce(CAST(:types AS text[]), types), "
        "description = coalesce(:description, description)"
        + (", failures = 0, failing_since = NULL, quiet_until = NULL" if changes.url else ""),
        {
            "url": changes.url,
            "types": None if changes.types is None else list(changes.types),
            "description": changes.description,
        },
    )


def rotate(
    connection: Connection, tenant_id: str, endpoint_id: str, sealed: bytes, *, overlap: timedelta
) -> Webhook:
    """:raises WebhookNotFound:"""
    return _update(
        connection,
        tenant_id,
        endpoint_id,
        "old_secret = secret, old_until = now() + CAST(:overlap AS interval), secret = :secret",
        {"secret": sealed, "overlap": overlap},
    )


def enable(connection: Connection, tenant_id: str, endpoint_id: str) -> Webhook:
    """:raises WebhookNotFound:"""
    return _update(
        connection,
        tenant_id,
        endpoint_id,
        f"state = '{WebhookState.ENABLED}', reason = NULL, failures = 0, failing_since = NULL, quiet_until = NULL",
    )


def disable(connection: Connection, tenant_id: str, endpoint_id: str) -> Webhook:
    """:raises WebhookNotFound:"""
    return _update(
        connection,
        tenant_id,
        endpoint_id,
        f"state = '{WebhookState.DISABLED}', reason = '{DisabledReason.OWNER}'",
    )


def delete(connection: Connection, tenant_id: str, endpoint_id: str) -> None:
    """
    What is on its way there is not sent any more, and goes with its day.

    :raises WebhookNotFound:
    """
    gone = connection.execute(
        text(f"DELETE FROM webhook_endpoints {_OURS}"), {"tenant": tenant_id, "id": endpoint_id}
    )
    if not gone.rowcount:
        raise WebhookNotFound


def interests(connection: Connection) -> Mapping[str, frozenset[str] | None]:
    """The types that somebody wants to hear of, by tenant; None is all."""
    result = connection.execute(
        text(
            "SELECT tenant_id, bool_or(types = '{}') AS every, "
            "(SELECT array_agg(DISTINCT type) FROM webhook_endpoints o, unnest(o.types) type "
            f"WHERE o.tenant_id = e.tenant_id AND o.state = '{WebhookState.ENABLED}') AS types "
            f"FROM webhook_endpoints e WHERE state = '{WebhookState.ENABLED}' GROUP BY tenant_id"
        )
    )
    return {row.tenant_id: None if row.every else frozenset(row.types) for row in result}


def judge(connection: Connection, verdicts: Mapping[str, Verdict]) -> list[tuple[str, DisabledReason]]:
    """
    Note what receivers have answered, and disable those that are gone, or have taken nothing for days; their
    owner is told by an event.

    :return: who was disabled and why
    """
    telling = {name: v for name, v in verdicts.items() if v.failures or v.recovered}
    connection.execute(
        text("""
            UPDATE webhook_endpoints e SET failures = v.failures + CASE WHEN v.recovered THEN 0 ELSE e.failures END,
                failing_since = CASE WHEN v.failures = 0 THEN NULL WHEN v.recovered OR e.failing_since IS NULL
                    THEN now() ELSE e.failing_since END,
                quiet_until = CASE WHEN v.failures = 0 THEN NULL
                    WHEN v.failures + CASE WHEN v.recovered THEN 0 ELSE e.failures END >= :breaks_at
                    THEN now() + make_interval(secs => greatest(v.quiet_s, :probe_every_s))
                    WHEN v.quiet_s > 0 THEN now() + make_interval(secs => v.quiet_s)
                    ELSE e.quiet_until END
            FROM unnest(CAST(:ids AS text[]), CAST(:recovered AS boolean[]), CAST(:failures AS integer[]),
                CAST(:quiet_s AS float[])) AS v (id, recovered, failures, quiet_s)
            WHERE e.id = v.id AND (v.failures > 0 OR e.failures > 0)
        """),
        {
            "ids": list(telling),
            "recovered": [v.recovered for v in telling.values()],
            "failures": [v.failures for v in telling.values()],
            "quiet_s": [v.quiet_s for v in telling.values()],
            "breaks_at": schedule.BREAKS_AT,
            "probe_every_s": schedule.PROBE_EVERY_S,
        },
    )
    failed = [name for name, v in verdicts.items() if v.failures or v.gone]
    if not failed:
        return []
    disabled = connection.execute(
        text(f"""
            WITH disabled AS (
                UPDATE webhook_endpoints SET state = '{WebhookState.DISABLED}', events = events + 1, updated_at = now(),
                    reason = CASE WHEN id = ANY(:gone) THEN '{DisabledReason.GONE}' ELSE '{DisabledReason.FAILING}' END
                WHERE id = ANY(:failed) AND state = '{WebhookState.ENABLED}' AND (id = ANY(:gone)
                    OR failures >= :breaks_at AND failing_since < now() - make_interval(secs => :days_s))
                RETURNING id, tenant_id, events, reason
            ), told AS (
                INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data)
                SELECT tenant_id, id, events, '{EventType.WEBHOOK_DISABLED}', json_build_object('reason', reason)
                FROM disabled
            )
            SELECT id, reason FROM disabled
        """),
        {
            "failed": failed,
            "gone": [name for name, v in verdicts.items() if v.gone],
            "breaks_at": schedule.BREAKS_AT,
            "days_s": schedule.DISABLED_AFTER_S,
        },
    )
    return [(row.id, DisabledReason(row.reason)) for row in disabled]


def _update(
    connection: Connection,
    tenant_id: str,
    endpoint_id: str,
    assignments: str,
    values: Mapping[str, Any] | None = None,
) -> Webhook:
    row = connection.execute(
        text(
            f"UPDATE webhook_endpoints SET {assignments}, updated_at = clock_timestamp() {_OURS} RETURNING {_SHOWN}"
        ),
        {"tenant": tenant_id, "id": endpoint_id, **(values or {})},
    ).one_or_none()
    return _found(row)


def _found(row: Row[Any] | None) -> Webhook:
    if row is None:
        raise WebhookNotFound
    return _webhook(row)


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        **{
            **row._mapping,
            "state": WebhookState(row.state),
            "reason": row.reason and DisabledReason(row.reason),
        }
    )
