"""The truth of capacity in Postgres, and how the ledger is brought back to it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from app.capacity.ledger import Ledger
from app.capacity.model import Hold
from app.database import ids, one_value, rows

PLACES = "unnest(array_prepend(slot, more)) AS p(place)"  # all that a row of capacity_holds stands for


def epoch(connection: Connection) -> int:
    """The epoch that a ledger must have to be believed."""
    return int(one_value(connection, "SELECT epoch FROM capacity_ledger"))


def opened(connection: Connection) -> tuple[int, bool]:
    """The epoch, and whether any limit has ever been set by an operator."""
    row = connection.execute(
        text("SELECT epoch, EXISTS (SELECT FROM capacity_limits) FROM capacity_ledger")
    ).one()
    return int(row[0]), bool(row[1])


def still(connection: Connection, expected: int) -> bool:
    """Whether the epoch is still `expected`; it cannot change before this transaction ends."""
    return bool(one_value(connection, "SELECT epoch FROM capacity_ledger FOR SHARE") == expected)


def keep_holds(connection: Connection, holds: Sequence[Hold]) -> None:
    """Write the holds that the ledger has given; one found released stays released."""
    connection.execute(
        text(
            "INSERT INTO capacity_holds (run_id, order_id, slot, expires_at, more) "
            "SELECT run_id, order_id, slot, expires_at, more FROM json_to_recordset(CAST(:rows AS json)) "
            "AS h(run_id bigint, order_id text, slot text, expires_at timestamptz, more text[]) "
            "ON CONFLICT (run_id) DO NOTHING"
        ),
        {"rows": _rows(holds)},
    )


def keep_releases(connection: Connection, holds: Sequence[Hold]) -> None:
    """Write that the holds were given back; without a hold the row stands for its tombstone."""
    connection.execute(
        text(
            "INSERT INTO capacity_holds (run_id, order_id, slot, expires_at, more, released_at) "
            "SELECT run_id, order_id, slot, expires_at, more, clock_timestamp() "
            "FROM json_to_recordset(CAST(:rows AS json)) "
            "AS h(run_id bigint, order_id text, slot text, expires_at timestamptz, more text[]) "
            "ON CONFLICT (run_id) DO UPDATE SET released_at = coalesce(capacity_holds.released_at, clock_timestamp())"
        ),
        {"rows": _rows(holds)},
    )


def holds_of(connection: Connection, run_ids: Sequence[int]) -> list[Hold]:
    """The holds of these runs that were not given back."""
    result = connection.execute(
        text(
            "SELECT run_id, order_id, slot, expires_at, coalesce(more, '{}') AS more FROM capacity_holds "
            "WHERE run_id = ANY(CAST(:ids AS bigint[])) AND released_at IS NULL"
        ),
        {"ids": ids(run_ids)},
    )
    return [
        Hold(row.run_id, row.order_id, row.slot, 0, row.expires_at, tuple((slot, 0) for slot in row.more))
        for row in result
    ]


def move_places(connection: Connection, places: Mapping[int, Sequence[str]]) -> None:
    """Write by run id in which slots its hold has places beside its kitchen's; one given back stays as it was."""
    connection.execute(
        text(
            "UPDATE capacity_holds h SET more = n.more FROM json_to_recordset(CAST(:rows AS json)) "
            "AS n(run_id bigint, more text[]) WHERE h.run_id = n.run_id AND h.released_at IS NULL"
        ),
        {"rows": rows([{"run_id": run_id, "more": slots} for run_id, slots in places.items()])},
    )


def rebuild(engine: Engine, ledger: Ledger) -> int:
    """
    Open a new epoch of the ledger with what Postgres knows.

    The new epoch is committed first: whoever held places in the old one without having written them down finds
    it gone when he does (`still`), and holds again. So nothing is missed between the reading and the loading.

    It is above any that the ledger has ever had, also when Postgres was brought back from a backup, and of several
    rebuilds at once the latest stays open.

    :return: the new epoch
    :raises LedgerAway: if Redis does not answer
    """
    seen = ledger.epoch() or 0
    with engine.begin() as connection:
        opened = int(
            one_value(
                connection,
                "UPDATE capacity_ledger SET epoch = greatest(epoch, :seen) + 1 RETURNING epoch",
                {"seen": seen},
            )
        )
    with engine.begin() as connection:
        result = connection.execute(
            text(
                "SELECT place, order_id, extract(epoch FROM expires_at)::bigint, released_at IS NOT NULL "
                f"FROM capacity_holds CROSS JOIN {PLACES} WHERE expires_at > now()"
            )
        )
        held: list[tuple[str, str, int]] = []
        gone: list[tuple[str, str, int]] = []
        for slot, order, expiry, released in result:
            (gone if released else held).append((slot, order, expiry))
    ledger.load(held, gone, epoch=opened)
    return opened


def drift(engine: Engine, ledger: Ledger, *, now: datetime) -> dict[str, int]:
    """
    By slot, how many more live holds the ledger has than Postgres; empty when they agree.

    :raises LedgerAway: if Redis does not answer
    """
    with engine.begin() as connection:
        current = epoch(connection)
        result = connection.execute(
            text(
                f"SELECT place AS slot, count(*) AS held FROM capacity_holds CROSS JOIN {PLACES} "
                "WHERE released_at IS NULL AND expires_at > :now GROUP BY place"
            ),
            {"now": now},
        )
        truth: dict[str, int] = {row.slot: row.held for row in result}
    counts = ledger.counts(epoch=current, now=now)
    return {
        slot: counts.get(slot, 0) - truth.get(slot, 0)
        for slot in counts.keys() | truth.keys()
        if counts.get(slot, 0) != truth.get(slot, 0)
    }


def _rows(holds: Sequence[Hold]) -> str:
    return rows(
        [
            {
                "run_id": h.run_id,
                "order_id": h.order_id,
                "slot": h.slot,
                "expires_at": h.expires_at,
                **({"more": [slot for slot, _ in h.more]} if h.more else {}),
            }
            for h in holds
        ]
    )
