"""Reading orders. Step names come from the saga definitions, which this layer does not know."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from app.database import one_value
from app.orders.document import Window
from app.orders.model import Status
from app.orders.views import (
    Cancellation,
    Failure,
    OrderFilter,
    OrderPage,
    OrderSummary,
    OrderView,
    Position,
    Refunded,
    StepView,
    TimelineEntry,
    Wish,
)
from app.runs import follow_ups
from app.runs import queries as runs
from app.runs.follow_ups import Past
from app.runs.model import STOPPED, Direction, RunState, Verdict
from app.runs.queries import Standing, StepRecord

StepNames = Callable[[str, int], Sequence[str]]
StageNames = Callable[[str, int, Direction, int], str]

REASONS: Mapping[str, str] = {
    "payment-refused": "The payment provider refused the payment.",
    "restaurant-refused": "The restaurant cannot take the order.",
    "no-available-partner": "No delivery partner takes the order.",
    "capacity-full": "The restaurant has no capacity left in this window.",
    "expired": "The order could not be confirmed within its time.",
    "window-over": "The requested window is over.",
    "window-too-far": "The requested window is more than two weeks ahead.",
    "cancelled": "The order was cancelled.",
    "hold-expired": "The held capacity was lost.",
}
REFUSALS: Mapping[str, str] = {
    "partner-keeps-order": "The delivery partner does not give the order back.",
    "already-picked-up": "The courier has picked the order up.",
    "order-ended-meanwhile": "The order had ended before.",
    "expired": "It could not be asked for in time.",
    "cancelled": "The wish was taken back.",
    "undone-by-operator": "The wish was taken back.",
    "terminated": "It was given up.",
}
_ASKED = {"cancel": "cancellation-asked", "refund": "refund-asked"}
_STATUS_OF = {
    (Direction.FORWARD, Verdict.DONE): "done",
    (Direction.FORWARD, Verdict.NOT_YET): "waiting",
    (Direction.BACKWARD, Verdict.NOT_YET): "waiting",
    (Direction.FORWARD, Verdict.REJECTED): "rejected",
    (Direction.FORWARD, Verdict.LEFT_OUT): "left-out",
    (Direction.BACKWARD, Verdict.UNDONE): "undone",
    (Direction.BACKWARD, Verdict.REJECTED): "undo-refused",
}


@dataclass(frozen=True, slots=True)
class _History:
    """An order's row, its follow-ups, and all of its runs that are still kept, oldest first, each with its story."""

    row: Any
    later: Sequence[Past]
    runs: Sequence[tuple[Standing, Sequence[StepRecord]]]


def orders(
    connection: Connection, wanted: Sequence[tuple[str, str]], *, steps: StepNames, stages: StageNames
) -> dict[tuple[str, str], OrderView]:
    """
    Orders with their steps, those left out that the tenant does not have.

    :param wanted: (tenant_id, order_id)
    """
    return {
        (history.row.tenant_id, history.row.id): _view(connection, history, steps, stages)
        for history in _histories(connection, wanted)
    }


def order(
    connection: Connection, tenant_id: str, order_id: str, *, steps: StepNames, stages: StageNames
) -> OrderView | None:
    """One order with its steps, None if the tenant has no such order."""
    wanted = (tenant_id, order_id)
    return orders(connection, [wanted], steps=steps, stages=stages).get(wanted)


def _view(connection: Connection, history: _History, steps: StepNames, stages: StageNames) -> OrderView:
    row, later = history.row, history.later
    return OrderView(
        tracking_id=row.id,
        version=row.version,
        status=Status(row.status),
        stage=_stage(history.runs[-1][0] if history.runs else None, stages),
        external_order_id=row.external_order_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        eta=row.eta,
        partner=row.partner,
        channel=row.channel,
        failure=_failure(row.failure),
        steps=[view for run, story in history.runs for view in _steps(story, steps(run.saga, run.version))],
        refunded=_refunded(connection, row) if later else None,
        cancellation=_cancellation(row, later),
    )


def versions(connection: Connection, order_ids: Sequence[str]) -> dict[str, int]:
    """The versions of those of the orders that there are."""
    found = connection.execute(
        text("SELECT id, version FROM uoop_orders WHERE id = ANY(:ids)"), {"ids": list(order_ids)}
    )
    return {row.id: row.version for row in found}


def page(
    connection: Connection, tenant_id: str, wanted: OrderFilter, after: Position | None, limit: int
) -> OrderPage:
    """Orders of the tenant, newest first."""
    conditions = {
        "status = :status": wanted.status,
        "customer_id = :customer_id": wanted.customer_id,
        "restaurant_id = :restaurant_id": wanted.restaurant_id,
        "external_order_id = :external_order_id": wanted.external_order_id,
        "created_at >= :created_from": wanted.created_from,
        "created_at < :created_until": wanted.created_until,
        "(created_at, id) < (:after_at, :after_id)": after,
    }
    where = "".join(f" AND {sql}" for sql, value in conditions.items() if value is not None)
    result = connection.execute(
        text(
            "SELECT id, status, customer_id, restaurant_id, external_order_id, total_amount::text, currency, "
            f"created_at, updated_at FROM uoop_orders WHERE tenant_id = :tenant{where} "
            "ORDER BY created_at DESC, id DESC LIMIT :limit"
        ),
        {
            "tenant": tenant_id,
            "status": wanted.status,
            "customer_id": wanted.customer_id,
            "restaurant_id": wanted.restaurant_id,
            "external_order_id": wanted.external_order_id,
            "created_from": wanted.created_from,
            "created_until": wanted.created_until,
            "after_at": after.created_at if after else None,
            "after_id": after.order_id if after else None,
            "limit": limit + 1,
        },
    ).all()
    orders = [_summary(row) for row in result[:limit]]
    more = len(result) > limit
    return OrderPage(orders, Position(orders[-1].created_at, orders[-1].tracking_id) if more else None)


def timeline(
    connection: Connection, tenant_id: str, order_id: str, *, steps: StepNames
) -> list[TimelineEntry] | None:
    """What happened to the order, oldest first; None if the tenant has no such order."""
    found = _histories(connection, [(tenant_id, order_id)])
    if not found:
        return None
    row, later = found[0].row, found[0].later
    entries = [TimelineEntry(at=row.created_at, event="accepted")]
    entries += [TimelineEntry(at=run.asked_at, event=_ASKED[run.act]) for run in later if run.act in _ASKED]
    for standing, story in found[0].runs:
        attempts: dict[tuple[int, Direction], int] = {}
        names = steps(standing.saga, standing.version)
        for record in story:
            place = (record.step, record.direction)
            attempts[place] = attempts.get(place, 0) + 1
            entries.append(_entry(record, names[record.step], attempts[place]))
    if row.status != Status.PENDING:
        entries.append(TimelineEntry(at=row.updated_at, event=row.status.lower()))
    return sorted(entries, key=lambda entry: entry.at)


def _histories(connection: Connection, wanted: Sequence[tuple[str, str]]) -> list[_History]:
    found = connection.execute(
        text(
            "SELECT o.id, o.tenant_id, version, status, external_order_id, created_at, updated_at, eta, partner, "
            "channel, failure, total_amount, currency, run_id, follow_ups FROM uoop_orders o "
            "JOIN unnest(CAST(:tenants AS text[]), CAST(:ids AS text[])) AS a(tenant_id, id) "
            "ON (o.tenant_id, o.id) = (a.tenant_id, a.id)"
        ),
        {"tenants": [tenant_id for tenant_id, _ in wanted], "ids": [order_id for _, order_id in wanted]},
    ).all()
    followed = [row.id for row in found if row.follow_ups]
    later = follow_ups.of_orders(connection, followed) if followed else {}
    ids = {
        row.id: [row.run_id, *(run.run_id for run in later.get(row.id, ()))] for row in found if row.run_id
    }
    of_all = [run_id for of_one in ids.values() for run_id in of_one]
    standing = runs.standings(connection, of_all) if of_all else {}
    stories = runs.stories(connection, [*standing]) if standing else {}
    return [
        _History(
            row,
            later.get(row.id, ()),
            [(standing[n], stories[n]) for n in ids.get(row.id, ()) if n in standing],
        )
        for row in found
    ]


def _refunded(connection: Connection, row: Any) -> Refunded | None:
    amount = one_value(
        connection, "SELECT sum(amount)::text FROM refunds WHERE order_id = :order", {"order": row.id}
    )
    return amount and Refunded(amount=amount, total=str(row.total_amount), currency=row.currency)


def _cancellation(row: Any, later: Sequence[Past]) -> Cancellation | None:
    wish = next((run for run in reversed(later) if run.act == "cancel"), None)
    if wish is None or row.status == Status.CANCELLED:
        return None
    if wish.state is not RunState.ENDED:
        return Cancellation(state=Wish.UNDER_WAY, asked_at=wish.asked_at, code=None, reason=None)
    code = str((wish.failure or {}).get("code"))
    reason = REFUSALS.get(code, code)
    return Cancellation(state=Wish.REFUSED, asked_at=wish.asked_at, code=code, reason=reason)


def _stage(standing: Standing | None, stages: StageNames) -> str | None:
    if standing is None or standing.stage is None:
        return None
    name = stages(standing.saga, standing.version, standing.direction, standing.stage)
    return f"undo {name}" if standing.direction is Direction.BACKWARD else name


def _failure(failure: Mapping[str, Any] | None) -> Failure | None:
    if not failure:
        return None
    code = failure["code"]
    return Failure(
        code=code,
        reason=REASONS.get(code, code),
        step=failure.get("step"),
        compensated=bool(failure.get("compensated")),
        next_window=_window(failure.get("next_window")),
    )


def _window(offered: Mapping[str, str] | None) -> Window | None:
    if offered is None:
        return None
    return Window(*(datetime.fromisoformat(offered[end]) for end in ("from", "until")))


def _steps(story: Sequence[StepRecord], names: Sequence[str]) -> list[StepView]:
    views: dict[tuple[int, Direction], StepView] = {}
    for record in story:
        place = (record.step, record.direction)
        before = views.get(place)
        prefix = "undo " if record.direction is Direction.BACKWARD else ""
        views[place] = StepView(
            name=prefix + names[record.step],
            status=_status(record),
            attempts=before.attempts + 1 if before else 1,
            started_at=before.started_at if before else record.started_at,
            finished_at=record.finished_at,
        )
    return list(views.values())


def _status(record: StepRecord) -> str:
    if record.verdict is None:
        return "running"
    if record.code in STOPPED:
        return "rejected"
    return _STATUS_OF.get((record.direction, record.verdict), "retrying")


def _entry(record: StepRecord, name: str, attempt: int) -> TimelineEntry:
    undo = "undo-" if record.direction is Direction.BACKWARD else ""
    told = Verdict.REJECTED if record.code in STOPPED else record.verdict
    verdict = told.name.lower().replace("_", "-") if told else "running"
    return TimelineEntry(
        at=record.finished_at or record.started_at,
        event=f"{undo}step-{verdict}",
        step=name,
        attempt=attempt,
        detail=record.code,
    )


def _summary(row: Any) -> OrderSummary:
    return OrderSummary(
        tracking_id=row.id,
        status=Status(row.status),
        customer_id=row.customer_id,
        restaurant_id=row.restaurant_id,
        external_order_id=row.external_order_id,
        total_amount=row.total_amount,
        currency=row.currency,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
