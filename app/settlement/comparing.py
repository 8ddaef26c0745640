"""
One part of a check: asks the provider, reads our books, and writes what came of it with where the next part begins.

A suspicion becomes a difference only after the provider was asked for that very key and our books were read anew
after his answer. No transaction is open while he is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Engine as Database

from app import errors
from app.providers.port import Listed, Provider, Verdict
from app.settlement import checks, differences, truth
from app.settlement.checks import Check, Phase
from app.settlement.model import Belief, Book, Difference, DifferenceKind, Entry, Seen, compare
from app.settlement.turn import Turn

SLACK = timedelta(minutes=15)  # the provider's clock, and his part in what straddles midnight
ITEMS_PER_PART = 500
RUNS_PER_PAGE = 5_000
CALL_S = 15.0

_SURE = frozenset({Verdict.DONE, Verdict.UNDONE, Verdict.UNKNOWN})


class ProviderSilent(errors.Unavailable):
    """The provider did not say what is needed."""

    code = "provider-silent"


class Comparing:
    """Does the parts of checks, in the process's turn."""

    def __init__(self, db: Database, turn: Turn) -> None:
        self._db, self._turn = db, turn

    def go_on(self, check: Check, book: Book, provider: Provider) -> None:
        """
        Do the part at which the check stands.

        :raises ProviderSilent: if it cannot be done now; nothing is written then
        """
        part = {
            Phase.LIST: self._list,
            Phase.COMPARE: self._compare,
            Phase.REVIEW: self._review,
            Phase.CLEAR: self._clear,
        }[check.phase]
        part(check, book, provider)

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
            with self._turn.writing() as connection:
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
        with self._turn.writing() as connection:
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
        with self._turn.writing() as connection:
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
        with self._turn.writing() as connection:
            differences.seen_again(connection, still)
            differences.close(connection, gone)
            after = replace(check, position=known[-1].id if known else 0)
            checks.keep(connection, after if known else replace(after, phase=Phase.CLEAR))

    def _clear(self, check: Check, _book: Book, _provider: Provider) -> None:
        with self._turn.writing() as connection:
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


def _seen(item: Listed) -> Seen:
    return Seen(Verdict.DONE if item.standing else Verdict.UNDONE, item.amount, item.currency)


def _is_still(kind: DifferenceKind, entry: Entry, seen: Seen) -> bool:
    """Whether a difference that was found before is still there; of money, only a list tells that it agrees now."""
    if kind is DifferenceKind.AMOUNT_DIFFERS:
        return entry.belief is Belief.STANDS and seen.stands
    found = compare(entry, seen)
    return found is not None and found.kind is kind
