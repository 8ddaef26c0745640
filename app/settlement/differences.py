"""Differences: found, found again, gone, resolved by a person; one row per kind and key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from app import errors
from app.database import rows
from app.settlement.model import Difference, DifferenceKind
from app.settlement.views import (
    ActedOn,
    DifferenceFilter,
    DifferenceGroup,
    DifferenceView,
    PastRemedy,
    Remedy,
    State,
)

GONE = "gone"
BY_US = "settlement"

_VIEW = (
    "id::text, kind, provider, resource, key, order_id AS tracking_id, ours, theirs, amount::text, currency, "
    "first_seen, last_seen, undo_asked_at, undo_trouble, resolved_at, resolved_by, resolved_why"
)
_CONDITIONS = {
    "kind": "kind = :kind",
    "provider": "provider = :provider",
    "resource": "resource = :resource",
    "tracking_id": "order_id = :tracking_id",
}
_STATES = {State.OPEN: "resolved_at IS NULL", State.RESOLVED: "resolved_at IS NOT NULL", State.ALL: "true"}


class DifferenceNotFound(errors.NotFound):
    """There is no such difference."""

    code = "difference-not-found"


class DifferenceResolved(errors.Conflict):
    """The difference has been resolved, or has gone."""

    code = "difference-resolved"


class NothingToUndo(errors.Conflict):
    """Nothing of this kind is undone by key."""

    code = "nothing-to-undo"


@dataclass(frozen=True, slots=True)
class Open:
    """An open difference, as the review needs it."""

    id: int
    kind: DifferenceKind
    key: str


@dataclass(frozen=True, slots=True)
class UndoAsked:
    """What an operator has said to undo."""

    id: int
    provider: str
    resource: str
    key: str
    who: str
    why: str


def record(connection: Connection, provider: str, resource: str, found: Sequence[Difference]) -> None:
    """
    Keep what was found.

    One that has been found before is seen again; one that had gone is open again; what a person has resolved
    stays so.
    """
    connection.execute(
        text("""
            INSERT INTO differences AS d (tenant_id, kind, provider, resource, key, order_id, ours, theirs, amount,
                currency)
            SELECT tenant_id, kind, :provider, :resource, key, order_id, ours, theirs, amount, currency
            FROM json_to_recordset(CAST(:rows AS json)) AS f(tenant_id text, kind text, key text, order_id text,
                ours text, theirs text, amount numeric, currency text) ORDER BY key
            ON CONFLICT (provider, resource, key, kind) DO UPDATE SET ours = excluded.ours, theirs = excluded.theirs,
                amount = coalesce(excluded.amount, d.amount), currency = coalesce(excluded.currency, d.currency),
                last_seen = clock_timestamp(),
                resolved_at = CASE d.resolved_by WHEN :us THEN NULL ELSE d.resolved_at END,
                resolved_by = CASE d.resolved_by WHEN :us THEN NULL ELSE d.resolved_by END,
                resolved_why = CASE d.resolved_by WHEN :us THEN NULL ELSE d.resolved_why END
        """),
        {
            "provider": provider,
            "resource": resource,
            "us": BY_US,
            "rows": rows(
                [
                    {
                        "tenant_id": each.entry.tenant_id,
                        "kind": each.kind,
                        "key": each.entry.key,
                        "order_id": each.entry.order_id,
                        "ours": each.entry.told,
                        "theirs": each.seen.told,
                        "amount": each.amount,
                        "currency": each.currency,
                    }
                    for each in found
                ]
            ),
        },
    )


def close(connection: Connection, ids: Sequence[int]) -> None:
    """They have gone."""
    connection.execute(
        text(
            "UPDATE differences SET resolved_at = clock_timestamp(), resolved_by = :by, resolved_why = :gone "
            "WHERE id = ANY(:ids) AND resolved_at IS NULL"
        ),
        {"by": BY_US, "gone": GONE, "ids": list(ids)},
    )


def close_amounts(connection: Connection, provider: str, resource: str, keys: Sequence[str]) -> None:
    """The amounts of these keys agree now."""
    connection.execute(
        text(
            "UPDATE differences SET resolved_at = clock_timestamp(), resolved_by = :by, resolved_why = :gone "
            "WHERE provider = :provider AND resource = :resource AND key = ANY(:keys) AND kind = :kind "
            "AND resolved_at IS NULL"
        ),
        {
            "by": BY_US,
            "gone": GONE,
            "provider": provider,
            "resource": resource,
            "keys": list(keys),
            "kind": DifferenceKind.AMOUNT_DIFFERS,
        },
    )


def seen_again(connection: Connection, ids: Sequence[int]) -> None:
    """They are still there."""
    connection.execute(
        text("UPDATE differences SET last_seen = clock_timestamp() WHERE id = ANY(:ids)"), {"ids": list(ids)}
    )


def open_after(connection: Connection, provider: str, resource: str, *, after: int, limit: int) -> list[Open]:
    """Open differences of a place, by id."""
    result = connection.execute(
        text(
            "SELECT id, kind, key FROM differences WHERE provider = :provider AND resource = :resource "
            "AND resolved_at IS NULL AND id > :after ORDER BY id LIMIT :limit"
        ),
        {"provider": provider, "resource": resource, "after": after, "limit": limit},
    )
    return [Open(row.id, DifferenceKind(row.kind), row.key) for row in result]


def page(
    connection: Connection, tenant_id: str, wanted: DifferenceFilter, *, after: int | None, limit: int
) -> list[DifferenceView]:
    """The tenant's differences, newest first."""
    given = {name: getattr(wanted, name) for name in _CONDITIONS if getattr(wanted, name) is not None}
    where = " AND ".join([_STATES[wanted.state], *(_CONDITIONS[name] for name in given)])
    result = connection.execute(
        text(
            f"SELECT {_VIEW} FROM differences WHERE tenant_id = :tenant AND {where}"
            f"{' AND id < :after' if after is not None else ''} ORDER BY differences.id DESC LIMIT :limit"
        ),
        {"tenant": tenant_id, "after": after, "limit": limit, **given},
    )
    return [_view(row) for row in result]


def groups(
    connection: Connection, tenant_id: str | None, provider: str | None = None
) -> list[DifferenceGroup]:
    """Open differences by provider, resource, kind and currency, with the money at stake; of all tenants for None."""
    result = connection.execute(
        text(
            "SELECT provider, resource, kind, currency, count(*) AS differences, sum(amount)::text AS amount, "
            "min(first_seen) AS first_seen, max(last_seen) AS last_seen FROM differences WHERE resolved_at IS NULL "
            "AND tenant_id = coalesce(:tenant, tenant_id) AND provider = coalesce(:provider, provider) "
            "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
        ),
        {"tenant": tenant_id, "provider": provider},
    )
    return [DifferenceGroup(**{**row._mapping, "kind": DifferenceKind(row.kind)}) for row in result]


def one(connection: Connection, tenant_id: str, name: str) -> DifferenceView:
    """:raises DifferenceNotFound: if the tenant has none of that id"""
    return _view(_found(connection, tenant_id, name, lock=False))


def past_acts(connection: Connection, name: str) -> list[PastRemedy]:
    """What operators did about it, oldest first."""
    result = connection.execute(
        text("SELECT at, act, who, why FROM difference_acts WHERE difference_id = :id ORDER BY id"),
        {"id": int(name)},
    )
    return [PastRemedy(**row._mapping) for row in result]


def resolve(connection: Connection, tenant_id: str, name: str, *, who: str, why: str) -> ActedOn:
    """
    A person has dealt with it.

    :raises DifferenceNotFound, DifferenceResolved:
    """
    found = _open(connection, tenant_id, name)
    connection.execute(
        text(
            "UPDATE differences SET resolved_at = clock_timestamp(), resolved_by = :who, resolved_why = :why "
            "WHERE id = :id"
        ),
        {"id": int(found.id), "who": who, "why": why},
    )
    return _acted(connection, tenant_id, found, Remedy.RESOLVE, who=who, why=why)


def ask_to_undo(
    connection: Connection, tenant_id: str, name: str, *, undoable: frozenset[str], who: str, why: str
) -> ActedOn:
    """
    Have an effect that nobody waits for taken back by its key; it is done in the next seconds.

    :param undoable: resources of which that may be asked
    :raises DifferenceNotFound, DifferenceResolved, NothingToUndo:
    """
    found = _open(connection, tenant_id, name)
    if found.kind not in (DifferenceKind.THEIRS_NOT_OURS, DifferenceKind.DOUBLE_EFFECT):
        raise NothingToUndo(detail=f"{found.kind}: there is no effect too many.")
    if found.resource not in undoable:
        raise NothingToUndo(
            detail=f"{found.resource}: what is taken back of these is decided order by order."
        )
    if found.tracking_id is None:
        raise NothingToUndo(detail="No order of ours belongs to it: ask the provider whose it is.")
    connection.execute(
        text(
            "UPDATE differences SET undo_asked_at = clock_timestamp(), undo_asked_by = :who, undo_asked_why = :why, "
            "undo_due_at = clock_timestamp(), undo_trouble = NULL WHERE id = :id"
        ),
        {"id": int(found.id), "who": who, "why": why},
    )
    return _acted(connection, tenant_id, found, Remedy.UNDO, who=who, why=why)


def to_undo(connection: Connection, *, limit: int) -> list[UndoAsked]:
    """What operators have said to undo, and was not yet, as far as it is due."""
    result = connection.execute(
        text(
            "SELECT id, provider, resource, key, undo_asked_by AS who, undo_asked_why AS why FROM differences "
            "WHERE resolved_at IS NULL AND undo_due_at <= clock_timestamp() ORDER BY undo_due_at LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [UndoAsked(**row._mapping) for row in result]


def undone(connection: Connection, asked: UndoAsked) -> None:
    """It has been taken back."""
    connection.execute(
        text(
            "UPDATE differences SET resolved_at = clock_timestamp(), resolved_by = :who, resolved_why = :why "
            "WHERE id = :id AND resolved_at IS NULL"
        ),
        {"id": asked.id, "who": asked.who, "why": f"undone: {asked.why}"},
    )


def not_undone(connection: Connection, asked: UndoAsked, *, trouble: str, again_in_s: float | None) -> None:
    """It could not be taken back; `again_in_s` is None when asking again would change nothing."""
    connection.execute(
        text(
            "UPDATE differences SET undo_trouble = :trouble, "
            "undo_due_at = clock_timestamp() + make_interval(secs => :again_in_s) WHERE id = :id"
        ),
        {"id": asked.id, "trouble": trouble, "again_in_s": again_in_s},
    )


def _open(connection: Connection, tenant_id: str, name: str) -> DifferenceView:
    found = _view(_found(connection, tenant_id, name, lock=True))
    if found.resolved_at is not None:
        raise DifferenceResolved(detail=f"{found.resolved_by}: {found.resolved_why}")
    return found


def _found(connection: Connection, tenant_id: str, name: str, *, lock: bool) -> Any:
    row = None
    if name.isascii() and name.isdigit() and int(name) < 1 << 63:
        row = connection.execute(
            text(
                f"SELECT {_VIEW} FROM differences WHERE differences.id = :id AND tenant_id = :tenant"
                f"{' FOR UPDATE' if lock else ''}"
            ),
            {"id": int(name), "tenant": tenant_id},
        ).one_or_none()
    if row is None:
        raise DifferenceNotFound()
    return row


def _acted(
    connection: Connection, tenant_id: str, before: DifferenceView, act: Remedy, *, who: str, why: str
) -> ActedOn:
    connection.execute(
        text("INSERT INTO difference_acts (difference_id, act, who, why) VALUES (:id, :act, :who, :why)"),
        {"id": int(before.id), "act": act, "who": who, "why": why},
    )
    return ActedOn(act=act, before=before, after=one(connection, tenant_id, before.id))


def _view(row: Any) -> DifferenceView:
    return DifferenceView(**{**row._mapping, "kind": DifferenceKind(row.kind)})
