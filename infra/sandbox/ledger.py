"""
The ledger of the effects that really happened: append-only, in SQLite.

What was recorded survives the killing of the process (not a power cut: `synchronous=OFF`). Nothing is kept in
memory but a page cache, so millions of effects cost neither memory nor time at the start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

_SCHEMA = """
CREATE TABLE IF NOT EXISTS places (
    id INTEGER PRIMARY KEY, provider TEXT NOT NULL, resource TEXT NOT NULL, UNIQUE (provider, resource));
CREATE TABLE IF NOT EXISTS lines (
    seq INTEGER PRIMARY KEY, place INTEGER NOT NULL, key TEXT NOT NULL, op TEXT NOT NULL,
    order_id TEXT NOT NULL, at TEXT NOT NULL, amount TEXT, currency TEXT, authorization TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS lines_by_key ON lines (place, key, op);
CREATE INDEX IF NOT EXISTS lines_by_authorization ON lines (authorization) WHERE authorization IS NOT NULL;
"""
# Exclusive: a second sandbox on the same home is refused, and no shared-memory file is needed.
_PRAGMAS = (
    "locking_mode=EXCLUSIVE",
    "journal_mode=WAL",
    "synchronous=OFF",
    "cache_size=-32768",
    "wal_autocheckpoint=4000",
)
_LINES_PER_CHUNK = 2_000  # about 3 ms of reading, during which nobody else is served
_LINES_PER_TOTAL = 10_000
_LINES_PER_LISTING = 10_000  # looked at for one part of a provider's list, whoever's they are
_TSV = "\t".join(["%s"] * 9) + "\n"
_ENCODER = msgspec.json.Encoder()


_RowValues = tuple[int, str, str, str, str, str, str, str | None, str | None]


class Line(NamedTuple):
    """One thing that happened; `op` is do, undo or tombstone, `at` RFC 3339, `amount` as it was given."""

    seq: int
    place: int
    key: str
    op: str
    order: str
    at: str
    amount: str | None
    currency: str | None
    authorization: str | None  # captures: the authorization's key; refunds: the capture's


class Known(NamedTuple):
    """What the ledger holds about a key: its do line, if there was one, and whether it was undone."""

    done: Line | None
    undone: bool


class _Row(msgspec.Struct, frozen=True):
    seq: int
    provider: str
    resource: str
    key: str
    order: str
    op: str
    at: str
    amount: str | None
    currency: str | None


class Total(msgspec.Struct, frozen=True):
    """How often an op happened at a place, and the sum of the amounts."""

    provider: str
    resource: str
    op: str
    currency: str | None
    lines: int
    amount: str


class Ledger:
    """
    The ledger in the file at `path`, for one process and one thread.

    :raises sqlite3.OperationalError: if the file cannot be used, for instance since another process holds it
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=0)
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_SCHEMA)
        (self._last_seq,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM lines").fetchone()

    @property
    def last_seq(self) -> int:
        return int(self._last_seq)

    def place(self, provider: str, resource: str) -> int:
        """The number of a provider's resource, the same after every start."""
        names = (provider, resource)
        self._db.execute("INSERT OR IGNORE INTO places (provider, resource) VALUES (?, ?)", names)
        row = self._db.execute("SELECT id FROM places WHERE provider = ? AND resource = ?", names).fetchone()
        return int(row[0])

    def known(self, place: int, keys: Sequence[str]) -> dict[str, Known]:
        """What is known about each of `keys`; those nobody asked for are absent."""
        known = dict[str, Known]()
        rows = self._db.execute(
            "SELECT lines.* FROM json_each(?) AS asked"
            " CROSS JOIN lines ON lines.place = ? AND lines.key = asked.value",
            (_json(keys), place),
        )
        for row in rows:
            line = Line._make(row)
            before = known.get(line.key)
            if line.op == "do":
                known[line.key] = Known(line, before is not None and before.undone)
            else:
                known[line.key] = Known(before.done if before else None, undone=True)
        return known

    def taken(self, place: int, keys: Sequence[str]) -> dict[str, Decimal]:
        """What stands at `place` that was taken from `keys`, added up; those from which nothing was are absent."""
        rows = self._db.execute(
            "SELECT lines.authorization, lines.amount FROM json_each(?) AS asked"
            " CROSS JOIN lines ON lines.authorization = asked.value"
            " WHERE lines.place = ? AND lines.op = 'do' AND NOT EXISTS (SELECT 1 FROM lines AS undo"
            " WHERE undo.place = lines.place AND undo.key = lines.key AND undo.op = 'undo')",
            (_json(sorted(set(keys))), place),
        )
        taken = dict[str, Decimal]()
        for key, amount in rows:
            taken[key] = taken.get(key, Decimal(0)) + Decimal(amount)
        return taken

    def listing(
        self, place: int, since: str, until: str, after: int | None, limit: int
    ) -> tuple[list[Line], int | None]:
        """
        What last happened to keys of a place from `since` on and before `until`, in the order it happened.

        :param after: number of the line after which the list goes on; None at its beginning
        :return: up to `limit` lines, and after which one it goes on; None at its end
        """
        begin = self._last_before(since) if after is None else after
        reach = min(begin + _LINES_PER_LISTING, self._last_seq)
        rows = self._db.execute(
            "SELECT * FROM lines WHERE seq > ? AND seq <= ? AND place = ? AND at < ? AND NOT EXISTS"
            " (SELECT 1 FROM lines AS later WHERE later.place = lines.place AND later.key = lines.key"
            " AND later.seq > lines.seq) ORDER BY seq LIMIT ?",
            (begin, reach, place, until, limit),
        )
        found = [Line._make(row) for row in rows]
        if len(found) == limit:
            return found, found[-1].seq
        return found, reach if reach < self._last_before(until) else None

    def _last_before(self, at: str) -> int:
        """The number of the last line before that time: time goes on as numbers do."""
        low, high = 0, self._last_seq
        while low < high:
            middle = (low + high + 1) // 2
            row = self._db.execute("SELECT at FROM lines WHERE seq = ?", (middle,)).fetchone()
            low, high = (middle, high) if row[0] < at else (low, middle - 1)
        return low

    def record(self, lines: Sequence[Line]) -> None:
        """Write `lines`, numbered on from `last_seq`, all or none."""
        if not lines:
            return
        self._db.execute("BEGIN")
        try:
            self._db.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", lines)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk has rolled it back already
                self._db.execute("ROLLBACK")
            raise
        self._last_seq = lines[-1].seq

    def as_ndjson(self, since: int, limit: int) -> Iterator[bytes]:
        """Up to `limit` lines after `since`, as JSON objects of a line each, in chunks."""
        for rows in self._chunks("amount, currency", since, limit):
            yield _ENCODER.encode_lines([_Row(*row) for row in rows])

    def as_tsv(self, since: int, limit: int) -> Iterator[bytes]:
        r"""The same in COPY's text format: tabs between, \N for null; no value holds a tab or backslash."""
        for rows in self._chunks(r"coalesce(amount, '\N'), coalesce(currency, '\N')", since, limit):
            yield "".join([_TSV % row for row in rows]).encode()

    def totals(self) -> Iterator[list[Total]]:
        """Totals per place, op and currency, exact up to four decimals; each list extends the one before."""
        totals = dict[tuple[str, str, str, str | None], tuple[int, int]]()
        until = self._last_seq
        for since in range(0, until, _LINES_PER_TOTAL):
            rows = self._db.execute(
                "SELECT provider, resource, op, currency, count(*),"
                " coalesce(sum(CAST(round(amount * 10000) AS INTEGER)), 0)"
                " FROM lines JOIN places ON places.id = lines.place"
                " WHERE seq > ? AND seq <= ? GROUP BY 1, 2, 3, 4",
                (since, min(until, since + _LINES_PER_TOTAL)),
            )
            for *group, lines, units in rows:
                before = totals.get(tuple(group), (0, 0))
                totals[tuple(group)] = (before[0] + lines, before[1] + units)
            yield [
                Total(*group, lines, f"{units // 10000}.{units % 10000:04d}")
                for group, (lines, units) in totals.items()
            ]

    def close(self) -> None:
        self._db.close()

    def _chunks(self, paid: str, since: int, limit: int) -> Iterator[list[_RowValues]]:
        until = self._last_seq
        while limit > 0 and since < until:
            rows: list[_RowValues] = self._db.execute(
                f"SELECT seq, provider, resource, key, order_id, op, at, {paid}"
                " FROM lines JOIN places ON places.id = lines.place"
                " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (since, until, min(limit, _LINES_PER_CHUNK)),
            ).fetchall()
            yield rows
            since, limit = rows[-1][0], limit - len(rows)


def _json(keys: Sequence[str]) -> str:
    return _ENCODER.encode(keys).decode()
