"""
How many calls may be in flight to one provider at once, counted over all processes and hosts.

Permits are rows, each held until a moment by the database's clock: who dies with one loses it when his call would
have been over. No transaction is open meanwhile.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Engine, text
from sqlalchemy.exc import InterfaceError, OperationalError

LOOK_EVERY_S = 0.02
MARGIN_S = 1.0  # for giving back what was held to the last moment

_TAKE = text("""
    WITH free AS (
        SELECT provider, n FROM provider_permits
        WHERE provider = :provider AND n <= :most AND held_until <= clock_timestamp()
        ORDER BY n LIMIT :wanted FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE provider_permits p SET holder = :holder, held_until = clock_timestamp() + make_interval(secs => :hold)
    FROM free WHERE (p.provider, p.n) = (free.provider, free.n)
""")


class Permits:
    """The permits to call one provider; thread-safe, and usable on both sides of a fork if the engine is."""

    def __init__(self, engine: Engine, provider: str, *, most: int) -> None:
        """:param most: calls in flight at once"""
        self._engine, self._provider, self._most = engine, provider, most
        self._made = False

    @contextmanager
    def held(self, wanted: int, *, wait_s: float, hold_s: float) -> Iterator[int]:
        """
        Hold between one and `wanted` permits for the block: how many. 0 if none came free within `wait_s`.

        :param hold_s: the longest that the block can take
        :raises OperationalError, InterfaceError: if the database is away before
        """
        holder = uuid.uuid4()
        until = time.monotonic() + wait_s
        while not (got := self._take(holder, wanted, hold_s)):
            if time.monotonic() >= until:
                yield 0
                return
            time.sleep(LOOK_EVERY_S)
        try:
            yield got
        finally:
            with suppress(OperationalError, InterfaceError):  # then they lapse; the answers must not be lost
                self._give_back(holder)

    def _take(self, holder: uuid.UUID, wanted: int, hold_s: float) -> int:
        values = {"provider": self._provider, "most": self._most}
        with self._engine.begin() as connection:
            if not self._made:
                connection.execute(
                    text(
                        "INSERT INTO provider_permits (provider, n) SELECT :provider, n "
                        "FROM generate_series(1, :most) n ON CONFLICT DO NOTHING"
                    ),
                    values,
                )
            taken = connection.execute(
                _TAKE, {**values, "wanted": wanted, "holder": holder, "hold": hold_s + MARGIN_S}
            )
        self._made = True
        return taken.rowcount

    def _give_back(self, holder: uuid.UUID) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE provider_permits SET held_until = '-infinity', holder = NULL "
                    "WHERE provider = :provider AND holder = :holder"
                ),
                {"provider": self._provider, "holder": holder},
            )
