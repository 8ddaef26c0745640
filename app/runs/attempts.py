"""Which delivery partner was asked after the planned one: kept before he is asked, so that nobody asks two."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from app.database import rows


def all_of(connection: Connection, run_ids: Sequence[int]) -> dict[int, list[str]]:
    """The later partners by run, in the order in which they were asked."""
    result = connection.execute(
        text("SELECT run_id, partner FROM dispatch_attempts WHERE run_id = ANY(:ids) ORDER BY run_id, nth"),
        {"ids": list(run_ids)},
    )
    asked: dict[int, list[str]] = {}
    for run_id, partner in result:
        asked.setdefault(run_id, []).append(partner)
    return asked


def intend(connection: Connection, nexts: Mapping[int, tuple[int, str]]) -> None:
    """Keep (nth, partner) by run: the one who is asked next."""
    connection.execute(
        text(
            "INSERT INTO dispatch_attempts (run_id, nth, partner) SELECT run_id, nth, partner "
            "FROM json_to_recordset(CAST(:rows AS json)) AS a(run_id bigint, nth smallint, partner text)"
        ),
        {"rows": rows([{"run_id": r, "nth": n, "partner": p} for r, (n, p) in nexts.items()])},
    )
