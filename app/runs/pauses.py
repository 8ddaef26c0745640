"""
What operators hold back for a while: a saga, a step, or a partner (any provider that is called).

The runs that come by wait in the lane `paused:KIND:NAMES`, due only when their time is over; once one of the names
is resumed they are due at once. A departure that saw a pause may be written after its end: the sweep finds it.
"""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, text

from app import act_log, errors
from app.act_log import Line
from app.orders.document import Moment

ACTIVE = "(until IS NULL OR until > clock_timestamp())"
LIFTED_AT_ONCE = 20_000
ACTS_TOLD = 20


class Kind(StrEnum):
    """What can be paused."""

    SAGA = "saga"
    STEP = "step"
    PARTNER = "partner"  # whoever is called: payment, restaurants, delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """
    What is held back, by whom and why.

    `until` is null when only a resume ends it; `runs` counts those of the tenant that wait for its end.
    """

    kind: Kind
    name: str
    since: Moment
    until: Moment | None
    who: str
    why: str
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseAct:
    """One line of the log of acts. `act`: pause or resume; a pause whose time is over is resumed by `uoop`."""

    at: Moment
    act: str
    kind: Kind
    name: str
    who: str
    why: str


class NotPaused(errors.Conflict):
    """It is not paused."""

    code = "not-paused"


def pause(
    connection: Connection, kind: Kind, name: str, *, for_s: float | None, tenant_id: str, who: str, why: str
) -> None:
    """Hold it back from now on; of what is paused already, change the end and the reason."""
    connection.execute(
        text("""
            INSERT INTO pauses AS p (kind, name, until, tenant_id, who, why)
            VALUES (:kind, :name, clock_timestamp() + make_interval(secs => :for_s), :tenant, :who, :why)
            ON CONFLICT (kind, name) DO UPDATE SET until = excluded.until, tenant_id = excluded.tenant_id,
                who = excluded.who, why = excluded.why,
                since = CASE WHEN p.until <= clock_timestamp() THEN excluded.since ELSE p.since END
        """),
        {"kind": kind, "name": name, "for_s": for_s, "tenant": tenant_id, "who": who, "why": why},
    )
    told = {"kind": kind, "name": name, "for_s": for_s}
    act_log.write(connection, [Line(tenant_id=tenant_id, act="pause", who=who, why=why, after=told)])


def resume(connection: Connection, kind: Kind, name: str, *, tenant_id: str, who: str, why: str) -> None:
    """
    End a pause; what waits for it is due.

    :raises NotPaused:
    """
    ended = connection.execute(
        text("DELETE FROM pauses WHERE (kind, name) = (:kind, :name)"), {"kind": kind, "name": name}
    )
    if not ended.rowcount:
        raise NotPaused(detail=f"{kind} {name} is not paused.")
    told = {"kind": kind, "name": name}
    act_log.write(connection, [Line(tenant_id=tenant_id, act="resume", who=who, why=why, before=told)])
    lift(connection)


def lift(connection: Connection) -> int:
    """
    End the pauses whose time is over, and make due what waits though its pause has ended.

    :return: how many runs; at most 20,000 at once, the rest is found the next time
    """
    over = connection.execute(
        text(
            "DELETE FROM pauses WHERE until <= clock_timestamp() RETURNING tenant_id, to_jsonb(pauses) AS told"
        )
    ).all()
    if over:
        why = "its time was over"
        act_log.write(
            connection,
            [Line(tenant_id=r.tenant_id, act="resume", who="uoop", why=why, before=r.told) for r in over],
        )
    lifted = connection.execute(
        text(f"""
            WITH free AS (
                SELECT l.name FROM lanes l WHERE starts_with(l.name, 'paused:') AND EXISTS (
                    SELECT FROM unnest(string_to_array(split_part(l.name, ':', 3), ',')) n(name)
                    WHERE NOT EXISTS (SELECT FROM pauses p
                        WHERE p.kind = split_part(l.name, ':', 2) AND p.name = n.name AND {ACTIVE}))
            ), waiting AS (
                SELECT r.id FROM free JOIN runs r ON r.state = 'w' AND r.lane = free.name
                WHERE r.due_at > clock_timestamp() LIMIT :most FOR UPDATE OF r SKIP LOCKED
            )
            UPDATE runs r SET due_at = now() FROM waiting w WHERE r.id = w.id
        """),
        {"most": LIFTED_AT_ONCE},
    )
    return lifted.rowcount


def active(connection: Connection, tenant_id: str | None) -> list[Pause]:
    """
    What is held back now.

    :param tenant_id: whose waiting runs are counted, None for all
    """
    of_tenant = "" if tenant_id is None else "AND r.tenant_id = :tenant"
    result = connection.execute(
        text(f"""
            SELECT p.kind, p.name, p.since, p.until, p.who, p.why, (
                SELECT count(*) FROM lanes l JOIN runs r ON r.state = 'w' AND r.lane = l.name {of_tenant}
                WHERE starts_with(l.name, 'paused:' || p.kind || ':')
                AND p.name = ANY(string_to_array(split_part(l.name, ':', 3), ','))) AS runs
            FROM pauses p WHERE {ACTIVE} ORDER BY p.since, p.kind, p.name
        """),
        {"tenant": tenant_id},
    )
    return [Pause(**{**row._mapping, "kind": Kind(row.kind)}) for row in result]


def past_acts(connection: Connection) -> list[PauseAct]:
    """The latest pauses and resumes, newest first."""
    result = connection.execute(
        text("""
            SELECT at, act, told ->> 'kind' AS kind, told ->> 'name' AS name, who, why
            FROM ops_acts CROSS JOIN LATERAL (SELECT CASE act WHEN 'pause' THEN after ELSE before END AS told) t
            WHERE act IN ('pause', 'resume') ORDER BY id DESC LIMIT :most
        """),
        {"most": ACTS_TOLD},
    )
    return [PauseAct(**{**row._mapping, "kind": Kind(row.kind)}) for row in result]
