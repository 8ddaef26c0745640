"""What other stores say, copied into temporary tables of one Postgres session."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import redis
from pydantic import SecretStr
from sqlalchemy import Connection, text

from app.capacity import service as capacity
from app.capacity.ledger import EPOCH_KEY
from app.outbox.redis_stream import MAX_ENTRIES, RedisStream
from app.webhooks.sink import Webhooks
from infra.audit.model import JournalUnreadable, SourceAway
from infra.audit.sources import holds, journal, stream
from infra.settings import Settings

# One row: when the reading began by the database's clock, and what bounds the other stores' answers.
_MOMENT = """
    CREATE TEMP TABLE audit_moment AS SELECT clock_timestamp() AS began, CAST(:sink AS text) AS sink,
        coalesce((SELECT pos FROM sinks WHERE name = :sink), 0) AS published, CAST(:capacity AS integer) AS capacity,
        CAST(:entries AS bigint) AS max_entries, (SELECT epoch FROM capacity_ledger) AS epoch,
        CAST(NULL AS bigint) AS ledger_epoch
"""
_OF_ORDERS = (
    'CREATE TEMP TABLE audit_journal (order_id text COLLATE "C", key text COLLATE "C")',
    """CREATE TEMP TABLE audit_lines (seq bigint, provider text COLLATE "C", resource text COLLATE "C",
        key text COLLATE "C", order_id text COLLATE "C", op text COLLATE "C", at text, amount numeric,
        currency text)""",
    """CREATE TEMP TABLE audit_ledger (slot text COLLATE "C", order_id text COLLATE "C", expiry double precision)""",
)
_OF_EVENTS = (
    "CREATE TEMP TABLE audit_stream (place bigserial, pos bigint, id bigint, type text, sequence integer)",
    """CREATE TEMP TABLE audit_heard (place bigserial, consumer text COLLATE "C", id bigint,
        order_id text COLLATE "C", sequence integer, type text COLLATE "C")""",
)
# What was published to a sink before its consumer's journal is read must be in it, or is on its way.
_CONSUMERS = """
    CREATE TEMP TABLE audit_at AS SELECT c.name, s.pos AS published, e.id IS NOT NULL AS is_webhook
    FROM unnest(CAST(:names AS text[])) c(name) LEFT JOIN sinks s ON s.name = c.name AND s.name <> :webhooks
    LEFT JOIN webhook_endpoints e ON e.id = c.name
"""


def orders(
    connection: Connection, settings: Settings, *, journals: Sequence[Path], effects: Iterable[bytes]
) -> None:
    """
    Note the time, then copy journals, effects and holds.

    Whatever an order's row says by `began` had happened in these stores before they are read; whatever these
    stores say was begun by rows that a later snapshot of Postgres has. So nothing is missed, and no order
    that is still moving is judged by half of its traces.

    :raises SourceAway: if a store does not answer
    """
    _note_moment(connection, settings)
    for statement in _OF_ORDERS:
        connection.execute(text(statement))
    _copy(connection, "audit_journal", journal.entries(journals))
    _copy(connection, "audit_lines", effects)
    with _redis(settings.ledger_url) as client:
        found: Any = client.get(EPOCH_KEY)
        connection.execute(
            text("UPDATE audit_moment SET ledger_epoch = :epoch"), {"epoch": int(found) if found else None}
        )
        _copy(connection, "audit_ledger", holds.live(client, epoch=capacity.epoch(connection)))
    connection.execute(text("ANALYZE audit_journal, audit_lines, audit_ledger"))


def events(connection: Connection, settings: Settings, *, consumed: Mapping[str, Path]) -> None:
    """
    Note the time and how far the relays have come, then copy the stream and what consumers have heard.

    :param consumed: journals by the sink that is consumed, or the webhook that receives
    :raises SourceAway: if Redis does not answer
    :raises JournalUnreadable: also if there is no such sink or webhook
    """
    _note_moment(connection, settings)
    for statement in _OF_EVENTS:
        connection.execute(text(statement))
    connection.execute(text(_CONSUMERS), {"names": list(consumed), "webhooks": Webhooks.name})
    unknown = "SELECT name FROM audit_at WHERE published IS NULL AND NOT is_webhook"
    for name in connection.execute(text(unknown)).scalars():
        raise JournalUnreadable(path=consumed[name], reason=f"there is no sink or webhook {name}")
    with _redis(settings.events_url) as client:
        _copy(connection, "audit_stream (pos, id, type, sequence)", stream.entries(client))
    for name, path in consumed.items():
        columns = "audit_heard (consumer, id, order_id, sequence, type)"
        _copy(connection, columns, journal.heard(name, path))
    connection.execute(text("ANALYZE audit_stream, audit_heard"))


def _note_moment(connection: Connection, settings: Settings) -> None:
    parameters = {"sink": RedisStream.name, "capacity": settings.slot_capacity, "entries": MAX_ENTRIES}
    connection.execute(text(_MOMENT), parameters)


@contextmanager
def _redis(url: SecretStr) -> Iterator["redis.Redis"]:
    client = redis.Redis.from_url(url.get_secret_value(), socket_connect_timeout=2, socket_timeout=30)
    try:
        yield client
    except redis.RedisError as error:
        raise SourceAway(source="Redis", reason=str(error) or type(error).__name__) from error
    finally:
        client.close()


def _copy(connection: Connection, table: str, chunks: Iterable[bytes]) -> None:
    """Write the rows; what the source raises comes out as it is, where psycopg2 would only quote it."""
    file = _File(iter(chunks))
    cursor: Any = connection.connection.cursor()
    with closing(cursor):
        try:
            cursor.copy_expert(f"COPY {table} FROM STDIN", io.BufferedReader(file, 1 << 18))
        except psycopg2.Error as error:
            raise file.broken or error from error


class _File(io.RawIOBase):
    """Chunks as the file that psycopg2 reads."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, b""
        self.broken: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            try:
                chunk = next(self._chunks, None)
            except Exception as error:
                self.broken = error
                raise
            if chunk is None:
                return 0
            self._left = chunk
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)
