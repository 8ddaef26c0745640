"""
The sequencer: moves what is committed from `outbox_in` into the log, with a gapless place.

Readers of the log need nothing but their place: whatever is committed later gets a later place. Reading
`outbox_in` by "id above the last" would lose events, since ids are given before the commit.
"""

from sqlalchemy import Connection, text

BATCH = 5000

_MOVE = text("""
    WITH moved AS (
        DELETE FROM outbox_in WHERE id = ANY(ARRAY(SELECT id FROM outbox_in ORDER BY id LIMIT :batch)) RETURNING *
    ), placed AS (
        INSERT INTO outbox_log (day, pos, id, tenant_id, order_id, sequence, type, data, at, trace)
        SELECT greatest(CAST(:day AS date), current_date), :pos + row_number() OVER (ORDER BY id),
            id, tenant_id, order_id, sequence, type, data, at, trace
        FROM moved RETURNING 1
    )
    UPDATE outbox_sequencer SET pos = pos + (SELECT count(*) FROM placed), day = greatest(day, current_date)
    RETURNING pos
""")


def sequence(connection: Connection, *, batch: int = BATCH) -> int:
    """
    Move one batch. The sequencer's row, locked and changed in the same transaction, is the fence: two
    sequencers never place anything side by side.

    :return: how many events were moved; 0 also when another sequencer is at it
    """
    row = connection.execute(
        text(
            "SELECT pos, day FROM outbox_sequencer WHERE EXISTS (SELECT FROM outbox_in) FOR UPDATE SKIP LOCKED"
        )
    ).one_or_none()
    if row is None:
        return 0
    pos = connection.execute(_MOVE, {"batch": batch, "pos": row.pos, "day": row.day}).scalar_one()
    return int(pos - row.pos)
