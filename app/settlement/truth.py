"""
Our side: what runs and their outcomes say stands at a provider, by key.

A key is `ORDER:STEP[:PARTNER]:GENERATION`. What has happened to a run stands in its bit sets, under which partner
in the outcome of the step; a later run of the order may have taken it back. An order of which a run moved within
the margin is not judged: the other side may be a moment ahead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from app import time_ids
from app.database import rows
from app.settlement.model import Belief, Book, Entry
from app.tenants.service import DEFAULT_TENANT

ACCEPTED_BEFORE = timedelta(
    days=15
)  # windows lie two weeks ahead at most: no earlier order's run still moves

_STILL = "r.state <> 't' AND r.updated_at < clock_timestamp() - make_interval(secs => :margin)"
_DONE = "r.done >> s.step & 1 = 1 AND r.undone >> s.step & 1 = 0"
_TOUCHED = "(r.touched | r.done) >> s.step & 1 = 1"
_MAKERS = (
    "json_to_recordset(CAST(:makers AS json)) AS s(saga text, version smallint, step smallint, name text)"
)
_TAKERS = "json_to_recordset(CAST(:takers AS json)) AS t(saga text, version smallint, step smallint, surely boolean)"
# the outcome that did it; a step that an operator skipped has none
_OUTCOME = """
    LEFT JOIN LATERAL (
        SELECT x.cohort_id, x.detail FROM outcomes x WHERE x.run_id = r.id AND x.step = s.step AND x.verdict = 'd'
        ORDER BY x.cohort_id DESC LIMIT 1
    ) d ON true
"""
_LOOK = """
    WITH asked AS (
        SELECT key, split_part(key, ':', 1) AS order_id, split_part(key, ':', 2) AS step,
            split_part(key, ':', -1) AS generation FROM unnest(CAST(:keys AS text[])) AS k(key)
    ), mine AS MATERIALIZED (
        SELECT r.*, {still} AS still FROM (SELECT DISTINCT order_id FROM asked) a
        JOIN uoop_orders o ON o.id = a.order_id
        CROSS JOIN LATERAL (
            SELECT o.run_id AS id UNION ALL SELECT f.run_id FROM follow_ups f WHERE f.order_id = o.id
        ) its JOIN runs r ON r.id = its.id
    ), moving AS (
        SELECT order_id FROM mine WHERE NOT still GROUP BY order_id
    ), taken AS (
        SELECT r.order_id, r.id, t.surely AND r.done >> t.step & 1 = 1 AS surely FROM mine r
        JOIN {takers} ON (t.saga, t.version) = (r.saga, r.version)
        WHERE r.done >> t.step & 1 = 1 OR (r.touched >> t.step & 1 = 1 AND r.state <> 'e')
    ), made AS MATERIALIZED (
        SELECT r.order_id, r.generation::text AS generation, s.name AS step, {key} AS key, {amount} AS amount,
            CASE WHEN r.undone >> s.step & 1 = 1 OR (r.state = 'e' AND r.failure IS NOT NULL) THEN 'undone'
                WHEN r.direction = 'b' AND r.state <> 'e' OR NOT ({done}) OR d.cohort_id IS NULL THEN 'perhaps'
                WHEN NOT ({made}) THEN 'undone'
                WHEN taken.surely THEN 'undone' WHEN NOT taken.surely THEN 'perhaps' ELSE 'stands' END AS belief
        FROM mine r JOIN uoop_orders o ON o.id = r.order_id
        JOIN {makers} ON (s.saga, s.version) = (r.saga, r.version) {outcome}
        LEFT JOIN LATERAL (
            SELECT bool_or(surely) AS surely FROM taken WHERE taken.order_id = r.order_id AND taken.id > r.id
        ) taken ON true
        WHERE {touched}
    )
    SELECT a.key, o.id AS order_id, coalesce(o.tenant_id, :default) AS tenant_id, o.currency,
        v.order_id IS NOT NULL AS moving,
        coalesce(bool_or(m.belief = 'stands' AND m.key = a.key), false) AS stands,
        coalesce(bool_or(m.belief = 'perhaps' AND m.generation = a.generation AND a.step = m.step), false) AS perhaps,
        coalesce(bool_or(m.belief = 'undone' AND m.generation = a.generation AND a.step = m.step), false) AS undone,
        min(m.key) FILTER (WHERE m.belief = 'stands') AS standing,
        min(m.amount) FILTER (WHERE m.key = a.key) AS amount
    FROM asked a LEFT JOIN uoop_orders o ON o.id = a.order_id LEFT JOIN moving v ON v.order_id = o.id
    LEFT JOIN made m ON m.order_id = o.id
    GROUP BY a.key, o.id, v.order_id
"""


@dataclass(frozen=True, slots=True)
class Page:
    """:param position: the last run looked at; None when there are no more"""

    keys: list[str]
    position: int | None


def look(connection: Connection, book: Book, keys: Sequence[str], *, margin_s: float) -> dict[str, Entry]:
    """What our books say now of each of these keys of `book`."""
    sql = _LOOK.format(
        still=_STILL,
        done=_DONE,
        touched=_TOUCHED,
        makers=_MAKERS,
        takers=_TAKERS,
        outcome=_OUTCOME,
        key=_key(book),
        amount=book.amount or "NULL::numeric",
        made=book.made,
    )
    values = {
        "keys": list(keys),
        "margin": margin_s,
        "default": DEFAULT_TENANT,
        "takers": rows(book.takers),
        **_of(book),
    }
    return {row.key: _entry(row, book) for row in connection.execute(text(sql), values)}


def standing_but_unlisted(
    connection: Connection,
    book: Book,
    provider: str,
    *,
    check_id: int,
    since: datetime,
    until: datetime,
    position: int,
    runs: int,
    margin_s: float,
) -> Page:
    """Keys done and not undone by runs that moved in that time, which the check's list did not have."""
    mine = "d.detail ->> 'partner' = :provider" if book.by_partner else "true"
    return _page(
        connection,
        book,
        f"{_DONE} AND d.cohort_id IS NOT NULL AND {book.made} AND {mine} "
        "AND NOT EXISTS (SELECT FROM settlement_lines l WHERE l.check_id = :check "
        f"AND l.key = {_key(book, of_provider=True)})",
        {
            "provider": provider,
            "check": check_id,
            "since": since,
            "until": until,
            "runs": runs,
            "margin": margin_s,
        },
        position,
    )


def known(
    connection: Connection,
    book: Book,
    provider: str,
    *,
    check_id: int,
    since: datetime,
    until: datetime,
    position: int,
    runs: int,
    margin_s: float,
) -> Page:
    """All keys that runs which moved in that time have asked for, standing or not."""
    return _page(
        connection,
        book,
        f"{_TOUCHED} AND {_asked(book)}",
        {"provider": provider, "since": since, "until": until, "runs": runs, "margin": margin_s},
        position,
    )


def _page(connection: Connection, book: Book, condition: str, values: dict[str, Any], position: int) -> Page:
    """A page is a number of runs looked at, few or none of which may fit, so that none takes long."""
    row = connection.execute(
        text(f"""
            WITH page AS MATERIALIZED (
                SELECT * FROM runs WHERE id > :position AND id < :before ORDER BY id LIMIT :runs
            )
            SELECT (SELECT max(id) FROM page) AS position, ARRAY(
                SELECT {_key(book, of_provider=True)} FROM page r
                JOIN {_MAKERS} ON (s.saga, s.version) = (r.saga, r.version) {_OUTCOME}
                WHERE r.updated_at >= :since AND r.updated_at < :until AND {_STILL} AND {condition}
            ) AS keys
        """),
        {
            **values,
            "position": max(position, time_ids.floor(values["since"] - ACCEPTED_BEFORE)),
            "before": time_ids.floor(values["until"]),
            **_of(book),
        },
    ).one()
    return Page(row.keys, row.position)


def _of(book: Book) -> dict[str, object]:
    return {"makers": rows(book.makers)}


def _key(book: Book, *, of_provider: bool = False) -> str:
    """The key as `sagas.steps.asking` makes it; that of the partner who has the order, or of `:provider`."""
    partner = ""
    if book.by_partner:
        partner = " || ':' || " + (":provider" if of_provider else "(d.detail ->> 'partner')")
    return f"r.order_id || ':' || s.name{partner} || ':' || r.generation"


def _asked(book: Book) -> str:
    """Whether this provider can have been asked: planned first, asked later, or chosen."""
    if not book.by_partner:
        return "true"
    return (
        "(EXISTS (SELECT FROM outcomes x WHERE x.run_id = r.id AND (x.detail ->> 'partner' = :provider "
        "OR x.detail -> 'ranking' ->> 0 = :provider)) "
        "OR EXISTS (SELECT FROM dispatch_attempts a WHERE a.run_id = r.id AND a.partner = :provider))"
    )


def _entry(row: Any, book: Book) -> Entry:
    belief = _belief(row)
    return Entry(
        key=row.key,
        belief=belief,
        tenant_id=row.tenant_id,
        order_id=row.order_id,
        other=row.standing if belief is Belief.OTHER else None,
        amount=row.amount,
        currency=row.currency if book.amount else None,
    )


def _belief(row: Any) -> Belief:
    for holds, belief in (
        (row.order_id is None, Belief.NO_ORDER),
        (row.moving, Belief.MOVING),
        (row.stands, Belief.STANDS),
        (row.perhaps, Belief.PERHAPS),
        (row.standing is not None, Belief.OTHER),
        (row.undone, Belief.UNDONE),
    ):
        if holds:
            return belief
    return Belief.NEVER
