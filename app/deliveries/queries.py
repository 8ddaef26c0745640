"""Reading what was reported."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, text

from app.deliveries.model import Fate
from app.deliveries.service import OF_TENANT
from app.orders.document import Moment


class Standing(StrEnum):
    """What has become of a report."""

    NEW = "new"  # nobody has looked at it
    WAITING = "waiting"  # for its order's confirmation, or for its new partner
    APPLIED = "applied"
    SUPERSEDED = "superseded"  # its order had come so far, or farther
    PARKED = "parked"  # it cannot be right: needs a person
    DISMISSED = "dismissed"

    @property
    def kept(self) -> Fate:
        return Fate[self.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """One report. `fate` says what has become of it, `reason` why it is parked, `acts` who dealt with it."""

    report_id: str
    reporter: str
    by: str
    event_id: str
    tracking_id: str
    what: str
    at: Moment
    details: Any
    fate: Standing
    reason: str | None
    acts: list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportGroup:
    """Parked reports that were parked alike. `sample`: one of their orders."""

    reason: str
    reporter: str
    by: str
    reports: int
    sample: str


def parked(connection: Connection, tenant_id: str) -> list[ReportGroup]:
    """The tenant's parked reports by reason and reporter, the largest group first."""
    result = connection.execute(
        text(f"""
            SELECT r.reason, r.reporter, r.by, count(*) AS reports,
                (array_agg(r.order_id ORDER BY r.id DESC))[1] AS sample
            FROM delivery_reports r WHERE r.state = 'p' AND {OF_TENANT} = :tenant
            GROUP BY r.reason, r.reporter, r.by ORDER BY count(*) DESC, r.reason, r.by
        """),
        {"tenant": tenant_id},
    )
    return [ReportGroup(**row._mapping) for row in result]


def reports(
    connection: Connection, tenant_id: str, *, fate: Fate | None, order_id: str | None, limit: int
) -> list[ReportView]:
    """The tenant's reports, newest first: of one fate, of one order, or both."""
    conditions = {"r.state = :fate": fate, "r.order_id = :order_id": order_id}
    where = "".join(f" AND {sql}" for sql, value in conditions.items() if value is not None)
    result = connection.execute(
        text(
            "SELECT r.id, r.reporter, r.by, r.event_id, r.order_id, r.what, r.at, r.details, r.state, r.reason, r.acts "
            f"FROM delivery_reports r WHERE {OF_TENANT} = :tenant{where} ORDER BY r.id DESC LIMIT :limit"
        ),
        {"tenant": tenant_id, "fate": fate, "order_id": order_id, "limit": limit},
    )
    return [_view(row) for row in result]


def former_partners(connection: Connection, order_ids: Sequence[str]) -> dict[str, set[str]]:
    """Who had each order's delivery and was relieved of it."""
    result = connection.execute(
        text("""
            SELECT f.order_id, x.detail ->> 'recalled' AS partner
            FROM follow_ups f JOIN outcomes x ON x.run_id = f.run_id
            WHERE f.order_id = ANY(:ids) AND x.detail ->> 'recalled' IS NOT NULL
        """),
        {"ids": list(order_ids)},
    )
    found: dict[str, set[str]] = {}
    for order_id, partner in result:
        found.setdefault(order_id, set()).add(partner)
    return found


def _view(row: Any) -> ReportView:
    return ReportView(
        report_id=str(row.id),
        reporter=row.reporter,
        by=row.by,
        event_id=row.event_id,
        tracking_id=row.order_id,
        what=row.what,
        at=row.at,
        details=row.details,
        fate=Standing[Fate(row.state).name],
        reason=row.reason,
        acts=row.acts or [],
    )
