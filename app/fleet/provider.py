"""The pool as a delivery provider: do, undo with tombstones, find, each for a cohort in one statement."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from app.database import rows
from app.optimization.model import OWN_FLEET
from app.providers.port import Answer, Kind, Listed, Listing, Request, Verdict


class OwnFleet:
    """Keeps the same promises as a partner over HTTP; a provisional courier is kept beside the order."""

    name = OWN_FLEET
    kind = Kind.DELIVERY
    bulk = True
    tombstones = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def do(self, resource: str, requests: Sequence[Request], *, timeout_s: float) -> list[Answer]:
        """Put the orders into the pool; one that was recalled, or comes too late, is refused."""
        values = [
            {
                "key": r.key,
                "order_id": r.body["order"],
                "tenant_id": r.body["tenant"],
                "courier_id": r.body["courier"],
                "busy_s": r.body["eta_s"],
                "not_after": r.not_after,
            }
            for r in requests
        ]
        return self._answer(
            [request.key for request in requests],
            """
            WITH asked AS (
                SELECT * FROM json_to_recordset(CAST(:rows AS json))
                AS a(key text, order_id text, tenant_id text, courier_id text, busy_s double precision,
                    not_after timestamptz)
            ), pooled AS (
                INSERT INTO fleet_pool (key, order_id, tenant_id, courier_id, state, busy_until)
                SELECT key, order_id, tenant_id, courier_id, 'pooled', now() + make_interval(secs => busy_s)
                FROM asked WHERE not_after > now() ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING key, state
            )
            SELECT key, state FROM pooled
            UNION ALL SELECT key, coalesce(p.state, 'late') FROM asked LEFT JOIN fleet_pool p USING (key)
                WHERE p.key IS NOT NULL OR not_after <= now()
            """,
            {"rows": rows(values)},
            {"pooled": Verdict.DONE, "recalled": Verdict.REFUSED, "late": Verdict.REFUSED},
        )

    def undo(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        """Recall, leaving a tombstone where there was nothing."""
        return self._answer(
            keys,
            """
            INSERT INTO fleet_pool (key, order_id, state)
            SELECT key, split_part(key, ':', 1), 'recalled' FROM unnest(CAST(:keys AS text[])) AS k(key) ORDER BY key
            ON CONFLICT (key) DO UPDATE SET state = 'recalled',
                at = CASE fleet_pool.state WHEN 'recalled' THEN fleet_pool.at ELSE clock_timestamp() END
            RETURNING key, state
            """,
            {"keys": list(keys)},
            {"recalled": Verdict.UNDONE},
        )

    def find(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        """What stands in the pool."""
        return self._answer(
            keys,
            "SELECT key, state FROM fleet_pool WHERE key = ANY(:keys)",
            {"keys": list(keys)},
            {"pooled": Verdict.DONE, "recalled": Verdict.UNDONE},
            missing=Verdict.UNKNOWN,
        )

    def listing(
        self,
        resource: str,
        *,
        since: datetime,
        until: datetime,
        cursor: str | None,
        limit: int,
        timeout_s: float,
    ) -> Listing:
        """What came into the pool or left it, by time and key; a cursor is the last line's."""
        at, _, key = (cursor or f"{since.isoformat()} ").partition(" ")
        try:
            with self._engine.begin() as connection:
                found = connection.execute(
                    text(
                        "SELECT key, state = 'pooled' AS standing, at FROM fleet_pool "
                        "WHERE (at, key) > (CAST(:at AS timestamptz), :key) AND at < :until "
                        "ORDER BY at, key LIMIT :limit"
                    ),
                    {"at": at, "key": key, "until": until, "limit": limit},
                ).all()
        except DBAPIError:
            return Listing(Verdict.UNAVAILABLE)
        items = tuple(Listed(row.key, row.standing, row.at, reference=row.key) for row in found)
        more = f"{items[-1].at.isoformat()} {items[-1].key}" if len(items) == limit else None
        return Listing(Verdict.DONE, items, more)

    def _answer(
        self,
        keys: Sequence[str],
        sql: str,
        parameters: dict[str, object],
        verdicts: dict[str, Verdict],
        missing: Verdict = Verdict.IN_DOUBT,
    ) -> list[Answer]:
        try:
            with self._engine.begin() as connection:
                told = {key: verdicts[state] for key, state in connection.execute(text(sql), parameters)}
        except DBAPIError:
            return [Answer(key, Verdict.IN_DOUBT) for key in keys]
        return [Answer(key, told.get(key, missing), reference=key) for key in keys]
