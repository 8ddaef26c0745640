"""The one way to Postgres: an engine per process, transactions opened by the shells."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import sqlalchemy
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import InterfaceError, OperationalError

from app import errors

PATIENCE_S = 30.0
CONNECT_S = 5.0
IDLE_IN_TRANSACTION_TIMEOUT_MS = 15_000

HOST_SILENT_S = 10.0

# TCP by itself would wait for a quarter of an hour: a host that vanishes says no goodbye.
_NOTICES_ABSENCE = {
    "keepalives_idle": 4,  # s; of waiting for an answer
    "keepalives_interval": 2,
    "keepalives_count": 3,
}

T = TypeVar("T")


def engine(
    url: str,
    *,
    pool_size: int,
    patience_s: float = PATIENCE_S,
    session: Mapping[str, str] | None = None,
    autocommit: bool = False,
) -> Engine:
    """
    An engine whose sessions cannot hang for ever: a statement ends after 30 s, an idle transaction after 15 s, and
    a session after 10 s whose server's host does not answer any more.

    :param url: `postgresql+psycopg2://...`
    :param patience_s: above which none of that is waited for, where half an answer is as good as none
    :param session: further settings of Postgres for its sessions
    :param autocommit: whether each message is a transaction by itself
    """
    options = (
        f"-c statement_timeout={_ms(patience_s)} "
        f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS} -c timezone=UTC"
    ) + "".join(f" -c {name}={value}" for name, value in (session or {}).items())
    return sqlalchemy.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # they hold what customers sent, and errors are logged
        pool_recycle=1800,
        json_deserializer=_read_json,
        # of the connection once and for all: set at each checkout, it loses those that break just then
        **({"isolation_level": "AUTOCOMMIT"} if autocommit else {}),
        connect_args={
            "connect_timeout": round(min(patience_s, CONNECT_S)),
            "options": options,
            "application_name": "uoop",
            "tcp_user_timeout": _ms(min(patience_s, HOST_SILENT_S)),  # of what was sent and not acknowledged
            **_NOTICES_ABSENCE,
        },
    )


def _read_json(told: str) -> Any:
    """As `json.loads`, which takes what the quicker one refuses too: a json column may hold half a surrogate pair."""
    try:
        return msgspec.json.decode(told)
    except msgspec.DecodeError:
        return json.loads(told)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


class DatabaseAway(errors.Unavailable):
    """The database does not answer."""

    code = "database-away"


@dataclass(frozen=True, slots=True)
class Prepared:
    """
    A statement that a session reads and plans only once.

    :param head: its name and the types of its parameters, `name(text, integer)`
    """

    head: str
    sql: str


def prepare(connection: Connection, *statements: Prepared) -> None:
    """Make them known to the session, if they are not; from then on they are called by `EXECUTE name(...)`."""
    known: set[str] = connection.connection.info.setdefault("prepared", set())
    for statement in statements:
        if statement.head not in known:
            connection.exec_driver_sql(f"PREPARE {statement.head} AS {statement.sql}")
            known.add(statement.head)


def read(engine: Engine, query: Callable[[Connection], T]) -> T:
    """
    Run a query on a connection of its own; again on a new one when the old one turns out to be broken.

    :raises DatabaseAway: if that fails too
    """
    for last in (False, True):
        try:
            with engine.connect() as connection:
                return query(connection)
        except (OperationalError, InterfaceError) as error:
            if last:
                raise DatabaseAway from error
    raise AssertionError("unreachable")


def rows(values: object) -> str:
    """Many rows as one JSON parameter, read by `json_to_recordset`: one round trip, whatever their number."""
    return msgspec.json.encode(values).decode()


def ids(values: Iterable[int]) -> str:
    """Many ids as one parameter, to be cast to bigint[]: Postgres need not parse an expression for each."""
    return f"{{{','.join(map(str, values))}}}"


def one_value(connection: Connection, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
    """The first column of the only row, or None."""
    return connection.execute(text(sql), parameters or {}).scalar_one_or_none()
