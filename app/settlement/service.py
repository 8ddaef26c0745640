"""Settling: plans checks and carries them on, one part after the other, in the process's turn."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Engine as Database

from app import errors
from app.providers.port import Provider
from app.runs.pressure import oldest_age_s
from app.settlement import checks, undoing
from app.settlement.checks import Check, Phase
from app.settlement.comparing import Comparing, ProviderSilent
from app.settlement.model import Book
from app.settlement.turn import Turn

MARGIN_S = 300.0
PUT_OFF_S = 60.0
TAKES_ORDERS_S = 0.5  # age of the oldest waiting order above which nothing is compared
PAUSE_S = 0.5
DAY = timedelta(days=1)

log = structlog.get_logger()


class SettlementBusy(errors.Unavailable):
    """Another process compares just now."""

    code = "settlement-busy"


class NoSuchProvider(errors.Rejected):
    """There is nothing to compare with a provider of this name."""

    code = "no-such-provider"


class Settlement:
    """The settling of one process."""

    def __init__(
        self, db: Database, books: Sequence[Book], providers: Mapping[str, Provider], *, holder: str
    ) -> None:
        """:param holder: names the process in the lease"""
        self._db, self._providers = db, providers
        self._books = {str(book.resource): book for book in books}
        self._turn = Turn(db, holder=holder)
        self._comparing = Comparing(db, self._turn)

    def places(self, provider: str | None = None) -> list[tuple[str, str]]:
        """
        All (provider, resource) that are compared, or one provider's.

        :raises NoSuchProvider:
        """
        found = [
            (name, resource)
            for name, side in self._providers.items()
            for resource, book in self._books.items()
            if book.provider is side.kind and provider in (None, name)
        ]
        if not found:
            raise NoSuchProvider(provider=provider)
        return found

    def tick(self, *, now: datetime, from_hour: int, for_s: float) -> None:
        """
        Go on with what there is for a moment; harmless when others do the same.

        :param from_hour: hour of the day, in UTC, from which yesterday is compared
        :param for_s: no part is begun after that time
        """
        until = time.monotonic() + for_s
        with self._turn.taken() as held:
            if not held:
                return
            self._plan(now, from_hour)
            undoing.all_due(self._db, self._turn, self._books, self._providers)
            while time.monotonic() < until and not self.pressed():
                with self._db.begin() as connection:
                    check = checks.due(connection)
                if check is None:
                    return
                self._go_on(check)

    def run(
        self, ids: Sequence[int], tell: Callable[[Sequence[Check]], None], *, within_s: float
    ) -> list[Check]:
        """
        Carry these checks to their end, or until a provider does not answer; then they are left to `tick`.

        :param tell: is called after each part with how they stand
        :param within_s: how long to wait for another process to let go
        :raises SettlementBusy: if it does not
        """
        until = time.monotonic() + within_s
        while True:
            with self._turn.taken() as held:
                if held:
                    return self._run(ids, tell)
            if time.monotonic() > until:
                raise SettlementBusy()
            time.sleep(PAUSE_S)

    def plan(
        self, *, since: datetime, until: datetime, provider: str | None = None, margin_s: float = MARGIN_S
    ) -> list[int]:
        """
        Have a span compared, from the beginning also if it was before; ids of the checks.

        :param margin_s: what has changed for less than that time is not judged
        :raises NoSuchProvider:
        """
        places = self.places(provider)
        with self._db.begin() as connection:
            return checks.plan(connection, places, since=since, until=until, margin_s=margin_s)

    def pressed(self) -> bool:
        """Whether orders wait: nothing here is so urgent as they are."""
        with self._db.connect() as connection:
            return oldest_age_s(connection) > TAKES_ORDERS_S

    def _run(self, ids: Sequence[int], tell: Callable[[Sequence[Check]], None]) -> list[Check]:
        while True:
            with self._db.begin() as connection:
                found = checks.named(connection, ids)
            tell(found)
            left = [check for check in found if check.phase is not Phase.DONE and not check.trouble]
            if not left:
                return found
            while self.pressed():
                time.sleep(PAUSE_S)
            self._go_on(left[0])

    def _plan(self, now: datetime, from_hour: int) -> None:
        if now.hour < from_hour:
            return
        yesterday = datetime(now.year, now.month, now.day, tzinfo=UTC) - DAY
        with self._db.begin() as connection:
            days = checks.days_to_plan(connection, yesterday=yesterday)
            for day in days:
                checks.plan(
                    connection, self.places(), since=day, until=day + DAY, margin_s=MARGIN_S, daily=True
                )
            if days:
                checks.forget(connection, now=now)

    def _go_on(self, check: Check) -> None:
        provider, book = self._providers.get(check.provider), self._books.get(check.resource)
        if provider is None or book is None:
            with self._turn.writing() as connection:
                checks.abandon(connection, check, trouble="there is no such provider any more")
            return
        try:
            self._comparing.go_on(check, book, provider)
        except ProviderSilent as error:
            trouble = str(error.data["reason"])
            log.warning(
                "settlement-put-off", provider=check.provider, resource=check.resource, reason=trouble
            )
            with self._turn.writing() as connection:
                checks.put_off(connection, check, trouble=trouble, for_s=PUT_OFF_S)
