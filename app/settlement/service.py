"""
Settling: carries checks on, one part after the other, under a lease, and undoes what operators have said to undo.

A suspicion becomes a difference only after the provider was asked for that very key and our books were read anew
after his answer. No transaction is open while he is asked.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from app import errors, leases
from app.providers.port import Answer, Listed, Provider, Verdict
from app.runs.pressure import oldest_age_s
from app.settlement import checks, differences, truth
from app.settlement.checks import Check, Phase
from app.settlement.differences import UndoAsked
from app.settlement.model import Belief, Book, Difference, Entry, Kind, Seen, compare

LEASE, LEASE_S = "settlement", 60.0
MARGIN_S = 300.0
SLACK = timedelta(minutes=15)  # the provider's clock, and his part in what straddles midnight
ITEMS_PER_PART = 500
RUNS_PER_PAGE = 5_000
CALL_S = 15.0
PUT_OFF_S = 60.0
TAKES_ORDERS_S = 0.5  # age of the oldest waiting order above which nothing is compared
PAUSE_S = 0.5
DAY = timedelta(days=1)

_SURE = frozenset({Verdict.DONE, Verdict.UNDONE, Verdict.UNKNOWN})
_NOT_OURS = frozenset({Belief.UNDONE, Belief.NEVER, Belief.OTHER})

log = structlog.get_logger()


class ProviderSilent(errors.Unavailable):
    """The provider did not say what is needed."""

    code = "provider-silent"


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
        self._db, self._providers, self._holder = db, providers, holder
        self._books = {str(book.resource): book for book in books}
        self._fence = 0

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
        with self._leased() as held:
            if not held:
                return
            self._plan(now, from_hour)
            self._undo()
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
            with self._leased() as held:
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
            with self._writing() as connection:
                checks.abandon(connection, check, trouble="there is no such provider any more")
            return
        part = {
            Phase.LIST: self._list,
            Phase.COMPARE: self._compare,
            Phase.REVIEW: self._review,
            Phase.CLEAR: self._clear,
        }[check.phase]
        try:
            part(check, book, provider)
        except ProviderSilent as error:
            trouble = str(error.data["reason"])
            log.warning(
                "settlement-put-off", provider=check.provider, resource=check.resource, reason=trouble
            )
            with self._writing() as connection:
                checks.put_off(connection, check, trouble=trouble, for_s=PUT_OFF_S)

    def _list(self, check: Check, book: Book, provider: Provider) -> None:
        listing = provider.listing(
            check.resource,
            since=check.since - SLACK,
            until=check.until + SLACK,
            cursor=check.cursor,
            limit=ITEMS_PER_PART,
            timeout_s=CALL_S,
        )
        if listing.verdict is Verdict.REFUSED:
            with self._writing() as connection:
                checks.keep(connection, replace(check, listed=False, phase=Phase.COMPARE))
            return
        if listing.verdict is not Verdict.DONE:
            raise ProviderSilent(reason=listing.reason or "does not answer")
        told = {item.key: _seen(item) for item in listing.items}
        entries = self._look(book, list(told), check.margin_s)
        suspects = {key: seen for key, seen in told.items() if compare(entries[key], seen)}
        found = self._confirmed(check, book, provider, suspects)
        agreed = [
            k for k, seen in told.items() if seen.stands and seen.amount is not None and k not in suspects
        ]
        standing = [key for key, seen in told.items() if seen.stands]
        with self._writing() as connection:
            differences.record(connection, check.provider, check.resource, found)
            differences.close_amounts(connection, check.provider, check.resource, agreed)
            checks.note_standing(connection, check, standing, gone=sorted(told.keys() - standing))
            after = replace(check, cursor=listing.next, theirs=check.theirs + len(told))
            checks.keep(connection, after if listing.next else replace(after, phase=Phase.COMPARE))

    def _compare(self, check: Check, book: Book, provider: Provider) -> None:
        page = self._page(check, book, RUNS_PER_PAGE)
        if len(page.keys) > ITEMS_PER_PART:
            page = self._page(check, book, ITEMS_PER_PART)
        found = self._confirmed(check, book, provider, dict.fromkeys(page.keys))
        with self._writing() as connection:
            differences.record(connection, check.provider, check.resource, found)
            after = replace(check, ours=check.ours + len(page.keys))
            if page.position is None:
                checks.keep(connection, replace(after, phase=Phase.REVIEW, position=0))
            else:
                checks.keep(connection, replace(after, position=page.position))

    def _page(self, check: Check, book: Book, runs: int) -> truth.Page:
        look = truth.standing_but_unlisted if check.listed else truth.known
        with self._db.begin() as connection:
            return look(
                connection,
                book,
                check.provider,
                check_id=check.id,
                since=check.since,
                until=check.until,
                position=check.position,
                runs=runs,
                margin_s=check.margin_s,
            )

    def _review(self, check: Check, book: Book, provider: Provider) -> None:
        with self._db.begin() as connection:
            known = differences.open_after(
                connection, check.provider, check.resource, after=check.position, limit=ITEMS_PER_PART
            )
        keys = sorted({each.key for each in known})
        seen = self._find(check, provider, keys)
        entries = self._look(book, keys, check.margin_s)
        gone, still = list[int](), list[int]()
        for each in known:
            if _is_still(each.kind, entries[each.key], seen[each.key]):
                still.append(each.id)
            elif entries[each.key].belief is not Belief.MOVING:
                gone.append(each.id)
        with self._writing() as connection:
            differences.seen_again(connection, still)
            differences.close(connection, gone)
            after = replace(check, position=known[-1].id if known else 0)
            checks.keep(connection, after if known else replace(after, phase=Phase.CLEAR))

    def _clear(self, check: Check, _book: Book, _provider: Provider) -> None:
        with self._writing() as connection:
            more = checks.clear(connection, check)
            checks.keep(connection, check if more else replace(check, phase=Phase.DONE))

    def _confirmed(
        self, check: Check, book: Book, provider: Provider, suspects: Mapping[str, Seen | None]
    ) -> list[Difference]:
        """Those suspects of which the provider, asked again, and our books, read after that, still differ."""
        seen = self._find(check, provider, list(suspects))
        entries = self._look(book, list(suspects), check.margin_s)
        found = []
        for key, listed in suspects.items():
            told = replace(listed, verdict=seen[key].verdict) if listed else seen[key]
            difference = compare(entries[key], told)
            if difference:
                found.append(difference)
        return found

    def _find(self, check: Check, provider: Provider, keys: Sequence[str]) -> dict[str, Seen]:
        """:raises ProviderSilent: unless he is sure of each"""
        if not keys:
            return {}
        answers = provider.find(check.resource, keys, timeout_s=CALL_S)
        for answer in answers:
            if answer.verdict not in _SURE:
                raise ProviderSilent(reason=answer.reason or "does not answer")
        return {answer.key: Seen(answer.verdict) for answer in answers}

    def _look(self, book: Book, keys: Sequence[str], margin_s: float) -> dict[str, Entry]:
        if not keys:
            return {}
        with self._db.begin() as connection:
            return truth.look(connection, book, keys, margin_s=margin_s)

    def _undo(self) -> None:
        with self._db.begin() as connection:
            asked = differences.to_undo(connection, limit=ITEMS_PER_PART)
        for place in sorted({(each.provider, each.resource) for each in asked}):
            mine = [each for each in asked if (each.provider, each.resource) == place]
            self._keep_undone(self._undone(*place, mine))

    def _undone(self, name: str, resource: str, asked: Sequence[UndoAsked]) -> list[tuple[UndoAsked, Answer]]:
        """What came of undoing; what our books want by now, though they did not, is left standing."""
        provider, book = self._providers.get(name), self._books.get(resource)
        if provider is None or book is None:
            return [(each, Answer(each.key, Verdict.REFUSED, reason="no such provider")) for each in asked]
        entries = self._look(book, [each.key for each in asked], 0.0)
        wanted = {each.key: each for each in asked if entries[each.key].belief in _NOT_OURS}
        answers = provider.undo(resource, list(wanted), timeout_s=CALL_S) if wanted else []
        left = [
            (each, Answer(each.key, Verdict.REFUSED, reason=f"by our books: {entries[each.key].told}"))
            for each in asked
            if each.key not in wanted
        ]
        return left + [(wanted[answer.key], answer) for answer in answers]

    def _keep_undone(self, told: Sequence[tuple[UndoAsked, Answer]]) -> None:
        with self._writing() as connection:
            for asked, answer in told:
                if answer.verdict is Verdict.UNDONE:
                    differences.undone(connection, asked)
                else:
                    refused = answer.verdict is Verdict.REFUSED
                    differences.not_undone(
                        connection,
                        asked,
                        trouble=answer.reason or answer.verdict,
                        again_in_s=None if refused else PUT_OFF_S,
                    )

    @contextmanager
    def _leased(self) -> Iterator[bool]:
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
    def _writing(self) -> Iterator[Connection]:
        """
        A transaction that prolongs the lease, and that nobody else can write beside.

        :raises LeaseLost: if another has it
        """
        with self._db.begin() as connection:
            if leases.take(connection, LEASE, holder=self._holder, for_s=LEASE_S) != self._fence:
                raise leases.LeaseLost(name=LEASE)
            yield connection


def _seen(item: Listed) -> Seen:
    return Seen(Verdict.DONE if item.standing else Verdict.UNDONE, item.amount, item.currency)


def _is_still(kind: Kind, entry: Entry, seen: Seen) -> bool:
    """Whether a difference that was found before is still there; of money, only a list tells that it agrees now."""
    if kind is Kind.AMOUNT_DIFFERS:
        return entry.belief is Belief.STANDS and seen.stands
    found = compare(entry, seen)
    return found is not None and found.kind is kind
