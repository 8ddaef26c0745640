"""Whose turn it is: one process settles at a time, under a lease that each of its writes prolongs."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from app import leases

LEASE, LEASE_S = "settlement", 60.0


class Turn:
    """One process's part in the lease."""

    def __init__(self, db: Database, *, holder: str) -> None:
        self._db, self._holder, self._fence = db, holder, 0

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Whether it is this process's turn; given back at the end."""
        with self._db.begin() as connection:
            fence = leases.take(connection, LEASE, holder=self._holder, for_s=LEASE_S)
        if fence is None:
            yield False
            return
        self._fence = fence
        try:
            yield True
        finally:
            with self._db.begin() as connection:
                leases.release(connection, LEASE, holder=self._holder)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """
        A transaction that prolongs the lease, and that nobody else can write beside.

        :raises LeaseLost: if another has it
        """
        with self._db.begin() as connection:
            if leases.take(connection, LEASE, holder=self._holder, for_s=LEASE_S) != self._fence:
                raise leases.LeaseLost(name=LEASE)
            yield connection
