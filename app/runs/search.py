"""
Finding runs, and telling one's whole story.

Step names come from the saga definitions, which this layer does not know: what is needed of them is given.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from app import time_ids
from app.database import ids, rows
from app.runs import acts
from app.runs.allowed import Subject
from app.runs.follow_ups import PRESENT_RUN
from app.runs.model import Direction, RunState, Verdict
from app.runs.queries import OF_EXECUTIONS
from app.runs.tracing import Journey
from app.runs.views import (
    Attempt,
    Money,
    ParkedGroup,
    PastAct,
    RunFilter,
    RunPage,
    RunSummary,
    State,
    Way,
)

_OF_ORDER = (
    "o.external_order_id, o.customer_id, coalesce(o.partner, (SELECT a.partner FROM dispatch_attempts a "
    "WHERE a.run_id = r.id AND NOT a.recall ORDER BY a.nth DESC LIMIT 1)) AS partner, o.total_amount::text, "
    "o.currency, o.created_at, r.updated_at"
)
_PARKED_STEP = "coalesce(r.failure ->> 'parked', r.failure ->> 'step')"
_PARKED_CODE = "CASE WHEN r.failure ? 'parked' THEN r.failure ->> 'parked_code' ELSE r.failure ->> 'code' END"
_CONDITIONS = {
    "tracking_id": "r.order_id = :tracking_id",
    "external_order_id": "o.external_order_id = :external_order_id",
    "customer_id": "o.customer_id = :customer_id",
    "partner": "(o.partner = :partner OR EXISTS (SELECT FROM dispatch_attempts a "
    "WHERE a.run_id = r.id AND a.partner = :partner))",
    "state": "r.state = :state",
    "saga": "r.saga = :saga",
    "code": "(r.failure ->> 'code' = :code OR r.failure ->> 'parked_code' = :code OR r.state = 'w' "
    "AND EXISTS (SELECT FROM outcomes x WHERE x.run_id = r.id AND x.cohort_id = r.trail[cardinality(r.trail)] "
    "AND x.code = :code))",
    # forward: the stage; backward: the latest step that is still to be undone
    "step": "EXISTS (SELECT FROM json_to_recordset(CAST(:places AS json)) AS p(saga text, version smallint, "
    "stage smallint, step smallint, compensable integer) WHERE (p.saga, p.version) = (r.saga, r.version) "
    "AND r.state <> 'e' AND CASE r.direction WHEN 'f' THEN coalesce(c.itinerary[c.leg + 1], r.stage) = p.stage "
    "AND (r.done >> p.step) & 1 = 0 ELSE (r.touched & ~r.undone & p.compensable) >> p.step = 1 END)",
    "older_than_s": "r.id < :made_before",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A step of one saga: its stage going forward, its number, and the bit set of all that can be undone."""

    saga: str
    version: int
    stage: int
    step: int
    compensable: int


@dataclass(frozen=True, slots=True)
class MoneySteps:
    """Bit sets of the steps of one saga that hold a customer's money, and of those that give it back."""

    saga: str
    version: int
    bits: int
    back: int


StepOf = Callable[[Subject], str | None]


def page(
    connection: Connection,
    tenant_id: str,
    wanted: RunFilter,
    *,
    places: Sequence[Place],
    step_of: StepOf,
    after: int | None,
    limit: int,
    now: datetime,
) -> RunPage:
    """
    The tenant's runs, newest first.

    :param places: where a run stands that stands at `wanted.step`
    :param after: run id of the last one seen
    """
    where, values = _where(wanted, places, now)
    result = connection.execute(
        text(
            f"SELECT {acts.SUBJECT}, {_OF_ORDER} FROM {acts.FROM} WHERE r.tenant_id = :tenant{where}"
            f"{' AND r.id < :after' if after is not None else ''} ORDER BY r.id DESC LIMIT :limit"
        ),
        {"tenant": tenant_id, "after": after, "limit": limit + 1, **values},
    ).all()
    found = [_summary(row, step_of) for row in result[:limit]]
    return RunPage(found, int(found[-1].run_id) if len(result) > limit else None)


def matching(
    connection: Connection,
    tenant_id: str,
    wanted: RunFilter,
    *,
    places: Sequence[Place],
    limit: int,
    now: datetime,
) -> list[int]:
    """Ids of the tenant's runs, oldest first."""
    where, values = _where(wanted, places, now)
    result = connection.execute(
        text(f"SELECT r.id FROM {acts.FROM} WHERE r.tenant_id = :tenant{where} ORDER BY r.id LIMIT :limit"),
        {"tenant": tenant_id, "limit": limit, **values},
    )
    return list(result.scalars())


def resolve(connection: Connection, tenant_id: str | None, name: str) -> int:
    """
    The run of that id, or the present run of the order with that tracking id.

    :param tenant_id: None looks among all tenants'
    :raises RunNotFound: if the tenant has none
    """
    of_tenant = "" if tenant_id is None else "AND r.tenant_id = :tenant"
    found = connection.execute(
        text(
            f"SELECT r.id FROM uoop_orders o JOIN runs r ON r.id = {PRESENT_RUN} "
            f"WHERE o.id = :name {of_tenant}"
        ),
        {"name": name, "tenant": tenant_id},
    ).scalar_one_or_none()
    if found is None and name.isascii() and name.isdigit() and int(name) < 1 << 63:
        found = connection.execute(
            text(f"SELECT r.id FROM runs r WHERE r.id = :id {of_tenant}"),
            {"id": int(name), "tenant": tenant_id},
        ).scalar_one_or_none()
    if found is None:
        raise acts.RunNotFound(detail="Neither a run id nor a tracking id of yours.")
    return int(found)


def one(connection: Connection, run_id: int, *, step_of: StepOf) -> tuple[Subject, RunSummary]:
    """A run as it stands. :raises RunNotFound:"""
    row = connection.execute(
        text(f"SELECT {acts.SUBJECT}, {_OF_ORDER} FROM {acts.FROM} WHERE r.id = :id"), {"id": run_id}
    ).one_or_none()
    if row is None:
        raise acts.RunNotFound()
    return acts.subject(row), _summary(row, step_of)


def attempts(connection: Connection, run_id: int, names: Sequence[str]) -> list[Attempt]:
    """All executions in which the run took part, oldest first."""
    result = connection.execute(
        text(
            "SELECT e.step, c.direction, c.id, c.size, e.epoch, e.starts, e.started_at, e.finished_at, "
            "o.verdict, o.code, o.provider, o.detail " + OF_EXECUTIONS
        ),
        {"ids": ids([run_id])},
    )
    return [
        Attempt(
            step=names[row.step],
            direction=_way(row.direction),
            cohort_id=str(row.id),
            cohort_size=row.size,
            epoch=row.epoch,
            starts=row.starts,
            started_at=row.started_at,
            finished_at=row.finished_at,
            verdict=Verdict(row.verdict).name.lower().replace("_", "-") if row.verdict else None,
            code=row.code,
            provider=row.provider,
            detail=row.detail,
        )
        for row in result
    ]


def journeys(connection: Connection, run_id: int) -> list[Journey]:
    """The cohorts with which the run has travelled, oldest first."""
    result = connection.execute(
        text(
            "SELECT c.id::text, c.lane, c.created_at FROM runs r CROSS JOIN LATERAL unnest(r.trail) "
            "WITH ORDINALITY AS t(cohort_id, nth) JOIN cohorts c ON c.id = t.cohort_id WHERE r.id = :id ORDER BY t.nth"
        ),
        {"id": run_id},
    )
    return [Journey(*row) for row in result]


def past_acts(connection: Connection, run_id: int) -> list[PastAct]:
    """What operators did to the run, oldest first."""
    result = connection.execute(
        text("SELECT at, act, step, who, why, before, after FROM ops_acts WHERE run_id = :id ORDER BY id"),
        {"id": run_id},
    )
    return [PastAct(**row._mapping) for row in result]


def parked(connection: Connection, tenant_id: str | None, money: Sequence[MoneySteps]) -> list[ParkedGroup]:
    """The tenant's parked runs, or with None all tenants', by saga, step and code, the largest group first."""
    of_tenant = "" if tenant_id is None else "AND r.tenant_id = :tenant"
    result = connection.execute(
        text(f"""
            WITH parked AS (
                SELECT r.id, r.order_id, r.saga, {_PARKED_STEP} AS step, {_PARKED_CODE} AS code, r.updated_at,
                    o.currency, coalesce(CAST(f.asked ->> 'amount' AS numeric), o.total_amount
                        - coalesce((SELECT sum(amount) FROM refunds x WHERE x.order_id = o.id), 0)) AS amount,
                    -- who looks for another partner has the money of the order
                    r.done & ~r.undone & m.bits <> 0 OR coalesce(r.id = o.rerouting, false) AS held,
                    r.touched & ~r.undone & m.bits <> 0 AS perhaps,
                    r.touched & ~r.done & m.back <> 0 AS owed,
                    EXISTS (SELECT FROM capacity_holds h WHERE h.released_at IS NULL
                        AND h.run_id = CASE WHEN r.id = o.rerouting THEN o.run_id ELSE r.id END) AS place
                FROM runs r JOIN uoop_orders o ON o.id = r.order_id
                LEFT JOIN follow_ups f ON f.run_id = r.id
                LEFT JOIN json_to_recordset(CAST(:money AS json))
                    AS m(saga text, version smallint, bits integer, back integer)
                    ON (m.saga, m.version) = (r.saga, r.version)
                WHERE r.state = 'p' {of_tenant}
            ), sums AS (
                SELECT saga, step, code, currency, coalesce(sum(amount) FILTER (WHERE held), 0) AS held,
                    coalesce(sum(amount) FILTER (WHERE perhaps AND NOT held), 0) AS in_doubt,
                    coalesce(sum(amount) FILTER (WHERE owed), 0) AS owed
                FROM parked WHERE held OR perhaps OR owed GROUP BY 1, 2, 3, 4
            )
            SELECT saga, step, code, count(*) AS runs, min(updated_at) AS first_seen, max(updated_at) AS last_seen,
                (array_agg(order_id ORDER BY id DESC))[1] AS sample, count(*) FILTER (WHERE place) AS holds,
                (SELECT coalesce(json_agg(json_build_object('currency', s.currency, 'held', s.held::text,
                    'in_doubt', s.in_doubt::text, 'owed', s.owed::text) ORDER BY s.currency), '[]') FROM sums s
                    WHERE (s.saga, s.step, s.code) IS NOT DISTINCT FROM (p.saga, p.step, p.code)) AS money
            FROM parked p GROUP BY saga, step, code ORDER BY count(*) DESC, saga, step, code
        """),
        {"tenant": tenant_id, "money": rows(money)},
    )
    return [ParkedGroup(**{**row._mapping, "money": [Money(**each) for each in row.money]}) for row in result]


def _where(wanted: RunFilter, places: Sequence[Place], now: datetime) -> tuple[str, dict[str, Any]]:
    given = {name: value for name, value in asdict(wanted).items() if value is not None}
    where = "".join(f" AND {_CONDITIONS[name]}" for name in given)
    if wanted.state is not None:
        given["state"] = wanted.state.kept
    if wanted.older_than_s is not None:
        made_before = now - timedelta(seconds=given.pop("older_than_s"))
        given["made_before"] = time_ids.floor(made_before)
    return where, {**given, "places": rows(places)}


def _summary(row: Any, step_of: StepOf) -> RunSummary:
    run = acts.subject(row)
    failure = run.failure or {}
    return RunSummary(
        run_id=str(run.run_id),
        tracking_id=run.order_id,
        external_order_id=row.external_order_id,
        customer_id=row.customer_id,
        partner=row.partner,
        order_status=run.order_status,
        total_amount=row.total_amount,
        currency=row.currency,
        saga=run.saga,
        version=run.version,
        state=State.of(run.state),
        direction=_way(run.direction),
        step=step_of(run),
        code=failure.get("parked_code" if run.state is RunState.PARKED and "parked" in failure else "code"),
        attempts=run.attempts,
        lane=run.lane,
        due_at=run.due_at,
        not_after=run.not_after,
        cancel_requested=run.cancel_requested,
        accepted_at=row.created_at,
        updated_at=row.updated_at,
    )


def _way(direction: str) -> Way:
    return Way.FORWARD if direction == Direction.FORWARD else Way.BACKWARD
