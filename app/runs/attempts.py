"""Which delivery partners were asked after the planned one, and which recalled: kept before it is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from app.database import ids, rows


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    :param recall: he is not asked but recalled: nobody may come to terms with him any more until he has said yes
    :param nth: its place among the later attempts; 0 if he was asked in the place of the planned one, who never was
    """

    partner: str
    recall: bool
    nth: int


def all_of(connection: Connection, run_ids: Sequence[int]) -> dict[int, list[Attempt]]:
    """The later attempts by run, in the order in which they were made."""
    result = connection.execute(
        text(
            "SELECT run_id, partner, recall, nth FROM dispatch_attempts "
            "WHERE run_id = ANY(CAST(:ids AS bigint[])) ORDER BY run_id, nth"
        ),
        {"ids": ids(run_ids)},
    )
    made: dict[int, list[Attempt]] = {}
    for run_id, *attempt in result:
        made.setdefault(run_id, []).append(Attempt(*attempt))
    return made


def intend(connection: Connection, nexts: Mapping[int, Attempt]) -> None:
    """Keep by run who is asked or recalled next; in the place of one who was not asked after all, if there is one."""
    connection.execute(
        text(
            "INSERT INTO dispatch_attempts (run_id, nth, partner, recall) SELECT run_id, nth, partner, recall "
            "FROM json_to_recordset(CAST(:rows AS json)) "
            "AS a(run_id bigint, nth smallint, partner text, recall boolean) "
            "ON CONFLICT (run_id, nth) DO UPDATE SET partner = excluded.partner, recall = excluded.recall, "
            "at = excluded.at"
        ),
        {
            "rows": rows(
                [
                    {"run_id": r, "nth": a.nth, "partner": a.partner, "recall": a.recall}
                    for r, a in nexts.items()
                ]
            )
        },
    )
