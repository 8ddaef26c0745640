"""The log of operators' acts: who, when and why, what it was about, and how that stood before and after."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from app.database import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    One act.

    :param before, after: whatever becomes JSON; None where there was or is nothing
    :param run_id: of the run that it was done to, or that it began
    :param step: the one that the act names
    """

    tenant_id: str
    act: str
    who: str
    why: str
    before: Any = None
    after: Any = None
    run_id: int | None = None
    order_id: str | None = None
    step: str | None = None


def write(connection: Connection, lines: Iterable[Line]) -> None:
    """Write it down, in the transaction of the acts themselves."""
    connection.execute(
        text("""
            INSERT INTO ops_acts (tenant_id, run_id, order_id, act, step, who, why, before, after)
            SELECT tenant_id, run_id, order_id, act, step, who, why, coalesce(before, 'null'), coalesce(after, 'null')
            FROM json_to_recordset(CAST(:rows AS json)) AS l(tenant_id text, run_id bigint, order_id text,
                act text, step text, who text, why text, before jsonb, after jsonb)
        """),
        {"rows": rows(list(lines))},
    )
