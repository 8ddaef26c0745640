"""
Reports are stored first, and applied a batch at a time: one statement reads and locks, one writes.

An order that somebody else holds just now is left for the next batch: this locks many, and must not wait for any.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, text

from app.database import ids, rows
from app.deliveries.model import Decision, Delivery, Fate, Report, Reported, Reporter, after, decide
from app.orders import rerouting
from app.orders.model import Status
from app.routing import figures
from app.runs import follow_ups
from app.runs.follow_ups import Begun, FollowUp, RunUnderWay

REROUTE_WITHIN = timedelta(hours=2)  # then the meal is no longer worth the way
AGAIN_AFTER_S = 5.0  # when another run on the order has to end first

# Two statements, sent together. Whoever stores a report of the same name waits in the first, so that the second sees
# what he has stored; names share locks, so that a large batch needs few.
_STORE = text("""
    SELECT pg_advisory_xact_lock(7305003, n) FROM (
        SELECT DISTINCT mod(hashtextextended(by || '/' || event_id, 0), 256)::integer AS n
        FROM json_to_recordset(CAST(:rows AS json)) AS r(by text, event_id text) ORDER BY n
    ) locks;
    INSERT INTO delivery_reports (reporter, by, event_id, order_id, what, at, details)
    SELECT n.reporter, n.by, n.event_id, split_part(n."order", ':', 1), n.what, n.at, n.details
    FROM ROWS FROM (json_to_recordset(CAST(:rows AS json)) AS (reporter text, by text, event_id text, "order" text,
        what text, at timestamptz, details json)) WITH ORDINALITY
        AS n(reporter, by, event_id, "order", what, at, details, nth)
    WHERE NOT EXISTS (SELECT FROM delivery_reports r WHERE (r.by, r.event_id) = (n.by, n.event_id))
    ORDER BY n.nth
""")
_WAKE = text("""
    UPDATE delivery_reports r SET state = 'n' FROM uoop_orders o
    WHERE r.state = 'w' AND r.due_at <= now() AND o.id = r.order_id AND o.status <> 'PENDING' AND o.rerouting IS NULL
""")
_TAKE = """
    WITH batch AS MATERIALIZED (
        SELECT id, reporter, by, event_id, order_id, what, at, details FROM delivery_reports
        WHERE state = 'n' {which} ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ), held AS MATERIALIZED (
        SELECT o.id, o.status, o.partner, o.version, o.rerouting FROM uoop_orders o
        WHERE o.id = ANY(ARRAY(SELECT order_id FROM batch)) ORDER BY o.id FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT b.*, h.id IS NOT NULL AS held, h.status, h.partner, h.version, h.rerouting
    FROM batch b LEFT JOIN held h ON h.id = b.order_id
    WHERE h.id IS NOT NULL OR NOT EXISTS (SELECT FROM uoop_orders o WHERE o.id = b.order_id)
    ORDER BY b.id
"""
_TAKE_OLDEST = text(_TAKE.format(which=""))
_TAKE_ONE = text(_TAKE.format(which="AND by = :by AND event_id = :event_id"))
_WRITE = text("""
    WITH moves AS MATERIALIZED (
        SELECT * FROM json_to_recordset(CAST(:moves AS json))
        AS m(order_id text, nth integer, last boolean, status text, reporter text, at timestamptz)
    ), changed AS (
        UPDATE uoop_orders o SET status = m.status, version = o.version + m.nth, updated_at = clock_timestamp()
        FROM moves m WHERE m.last AND o.id = m.order_id
        RETURNING o.id, o.tenant_id, o.version - m.nth AS version_before, o.partner, o.created_at, o.trace
    ), events AS (
        INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data, trace)
        SELECT c.tenant_id, c.id, c.version_before + m.nth, 'order.' || translate(lower(m.status), '_', '-'),
            json_build_object('status', m.status, 'partner', c.partner, 'reporter', m.reporter, 'reported_at', m.at,
                'accepted_at', c.created_at), c.trace
        FROM changed c JOIN moves m ON m.order_id = c.id ORDER BY c.id, m.nth
    )
    UPDATE delivery_reports r SET state = f.state, reason = f.reason,
        due_at = now() + make_interval(secs => f.due_in_s)
    FROM json_to_recordset(CAST(:fates AS json)) AS f(id bigint, state "char", reason text, due_in_s double precision)
    WHERE r.id = f.id
""")


@dataclass(frozen=True, slots=True)
class RerouteBy:
    """
    The saga that finds an order another partner.

    :param beside: sagas of which a run that is parked, its order being promised, has nothing left to do with partners
    """

    saga: str
    version: int
    beside: frozenset[str]

    def of(self, order_id: str, *, who: str, why: str) -> FollowUp:
        """The wish for one order."""
        asked = {"who": who, "why": why}
        return FollowUp(order_id=order_id, asked=asked, within=REROUTE_WITHIN, beside=self.beside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What has become of a batch: how many reports of each fate, and how many reroutes have begun."""

    fates: Mapping[Fate, int]
    rerouted: int = 0

    @property
    def reports(self) -> int:
        return sum(self.fates.values())

    @property
    def moved(self) -> bool:
        """Whether orders have moved."""
        return self.fates.get(Fate.APPLIED, 0) > self.rerouted


@dataclass(slots=True)
class _Taken:
    """One report of a batch with its order, and what becomes of it."""

    id: int
    order_id: str
    report: Report
    delivery: Delivery | None
    decision: Decision | None = None
    due_in_s: float = 0.0


def store(connection: Connection, reports: Sequence[Report]) -> int:
    """
    Keep the reports; those that are there already stay as they are.

    :return: how many were new
    """
    if not reports:
        return 0
    given = rows(list({(each.by, each.event_id): each for each in reversed(reports)}.values())[::-1])
    return connection.execute(_STORE, {"rows": given}).rowcount


def wake(connection: Connection) -> int:
    """Look again at what has waited for its order's confirmation or new partner. Returns how many."""
    return connection.execute(_WAKE).rowcount


def waits_briefly(connection: Connection) -> bool:
    """Whether a report has begun to wait within the last second: its order is probably confirmed any moment."""
    found = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM delivery_reports WHERE state = 'w' "
            "AND due_at BETWEEN now() - interval '1 s' AND now())"
        )
    )
    return bool(found.scalar_one())


def apply(connection: Connection, reroute_by: RerouteBy, *, limit: int = 1000) -> Applied:
    """Apply the oldest new reports, up to `limit`, whose orders nobody else holds."""
    return _apply(connection, reroute_by, connection.execute(_TAKE_OLDEST, {"limit": limit}))


def apply_one(connection: Connection, reroute_by: RerouteBy, report: Report) -> Applied:
    """Apply this stored report before all others; nothing is applied while somebody else holds its order."""
    which = {"by": report.by, "event_id": report.event_id, "limit": 1}
    return _apply(connection, reroute_by, connection.execute(_TAKE_ONE, which))


def begin_reroutes(
    connection: Connection, by: RerouteBy, wanted: Sequence[FollowUp]
) -> list[Begun | RunUnderWay]:
    """Begin to find orders another partner; what the present one reports waits until that has ended."""
    answers = follow_ups.begin(connection, by.saga, by.version, wanted)
    rerouting.mark(
        connection, {answer.order_id: answer.run_id for answer in answers if isinstance(answer, Begun)}
    )
    return answers


def note_kept(connection: Connection, run_ids: Sequence[int]) -> None:
    """Let a person know of the partners who did not give back what these runs were to take from them."""
    connection.execute(
        text("""
            INSERT INTO delivery_reports (reporter, by, event_id, order_id, what, at, details)
            SELECT :reporter, 'uoop', 'kept:' || r.id, r.order_id, :what, now(),
                json_build_object('partner', o.partner, 'run_id', r.id::text)
            FROM runs r JOIN uoop_orders o ON o.id = r.order_id WHERE r.id = ANY(CAST(:ids AS bigint[]))
        """),
        {"reporter": Reporter.PLATFORM, "what": Reported.KEPT, "ids": ids(run_ids)},
    )


def settle(
    connection: Connection, tenant_id: str, report_ids: Sequence[int], fate: Fate, *, who: str, why: str
) -> int:
    """
    Take parked reports up again (NEW) or leave them alone for good (DISMISSED), as an operator wishes.

    :return: how many of them were parked, and of the tenant's orders or of nobody's
    """
    return connection.execute(
        text(f"""
            UPDATE delivery_reports r SET state = :fate, acts = coalesce(r.acts, '[]') || jsonb_build_array(
                jsonb_build_object('who', CAST(:who AS text), 'why', CAST(:why AS text), 'at', clock_timestamp(),
                    'act', CAST(:act AS text), 'reason', r.reason))
            WHERE r.id = ANY(CAST(:ids AS bigint[])) AND r.state = 'p' AND {OF_TENANT} = :tenant
        """),
        {
            "fate": fate,
            "who": who,
            "why": why,
            "act": "dismiss" if fate is Fate.DISMISSED else "apply",
            "ids": ids(report_ids),
            "tenant": tenant_id,
        },
    ).rowcount


# What tells of an order that nobody knows is the default tenant's, who runs the platform.
OF_TENANT = "coalesce((SELECT o.tenant_id FROM uoop_orders o WHERE o.id = r.order_id), 'default')"


def _apply(connection: Connection, reroute_by: RerouteBy, found: Iterable[Any]) -> Applied:
    batch = [_taken(row) for row in found]
    if not batch:
        return Applied(fates={})
    _decide(batch)
    rerouted = _begin_reroutes(connection, reroute_by, [each for each in batch if _reroutes(each)])
    connection.execute(_WRITE, {"moves": rows(_moves(batch)), "fates": rows([_fate(each) for each in batch])})
    figures.note_deliveries(connection, [(e.order_id, e.report.at) for e in batch if _delivers(e)])
    fates: dict[Fate, int] = {}
    for each in batch:
        if each.decision:
            fates[each.decision.fate] = fates.get(each.decision.fate, 0) + 1
    return Applied(fates=fates, rerouted=rerouted)


def _taken(row: Any) -> _Taken:
    delivery = None
    if row.held:
        delivery = Delivery(
            status=Status(row.status),
            partner=row.partner,
            version=row.version,
            rerouting=row.rerouting is not None,
        )
    report = Report(
        reporter=Reporter(row.reporter),
        by=row.by,
        event_id=row.event_id,
        order=row.order_id,
        what=row.what,
        at=row.at,
        details=row.details,
    )
    return _Taken(row.id, row.order_id, report, delivery)


def _decide(batch: Sequence[_Taken]) -> None:
    """In their order; each finds its order as the one before has left it."""
    now: dict[str, Delivery] = {}
    for each in batch:
        each.delivery = now.get(each.order_id, each.delivery)
        each.decision = decide(each.delivery, each.report)
        if each.delivery:
            now[each.order_id] = after(each.delivery, each.decision)


def _reroutes(each: _Taken) -> bool:
    return bool(each.decision and each.decision.reroute)


def _delivers(each: _Taken) -> bool:
    return bool(each.decision and each.decision.status is Status.DELIVERED)


def _begin_reroutes(connection: Connection, by: RerouteBy, failed: Sequence[_Taken]) -> int:
    """Find those orders another partner; where another run has to end first, their reports wait."""
    if not failed:
        return 0
    wanted = [by.of(each.order_id, who=each.report.by, why=each.report.what.lower()) for each in failed]
    answers = begin_reroutes(connection, by, wanted)
    for each, answer in zip(failed, answers, strict=True):
        if not isinstance(answer, Begun) and each.decision:
            each.decision = replace(each.decision, fate=Fate.WAITING)
            each.due_in_s = AGAIN_AFTER_S
    return sum(isinstance(answer, Begun) for answer in answers)


def _moves(batch: Sequence[_Taken]) -> list[dict[str, Any]]:
    """The moves of each order, numbered from 1, the last one marked."""
    by_order: dict[str, list[dict[str, Any]]] = {}
    for each in batch:
        if each.decision and each.decision.status:
            mine = by_order.setdefault(each.order_id, [])
            mine.append(
                {
                    "order_id": each.order_id,
                    "nth": len(mine) + 1,
                    "last": False,
                    "status": each.decision.status,
                    "reporter": each.report.reporter,
                    "at": each.report.at,
                }
            )
    for mine in by_order.values():
        mine[-1]["last"] = True
    return [move for mine in by_order.values() for move in mine]


def _fate(each: _Taken) -> dict[str, Any]:
    decision = each.decision or Decision(Fate.NEW)
    return {"id": each.id, "state": decision.fate, "reason": decision.reason, "due_in_s": each.due_in_s}
