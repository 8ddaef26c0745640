"""Undoing, by key, what operators have said to undo."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine as Database

from app.providers.port import Answer, Provider, Verdict
from app.settlement import differences, truth
from app.settlement.differences import UndoAsked
from app.settlement.model import Belief, Book
from app.settlement.turn import Turn

AT_MOST = 500
CALL_S = 15.0
AGAIN_IN_S = 60.0

_NOT_OURS = frozenset({Belief.UNDONE, Belief.NEVER, Belief.OTHER})


def all_due(db: Database, turn: Turn, books: Mapping[str, Book], providers: Mapping[str, Provider]) -> None:
    """Ask the providers for what is due; who does not answer is asked again in a minute."""
    with db.begin() as connection:
        asked = differences.to_undo(connection, limit=AT_MOST)
    for name, resource in sorted({(each.provider, each.resource) for each in asked}):
        mine = [each for each in asked if (each.provider, each.resource) == (name, resource)]
        told = _undone(db, providers.get(name), books.get(resource), mine)
        with turn.writing() as connection:
            for each, answer in told:
                if answer.verdict is Verdict.UNDONE:
                    differences.undone(connection, each)
                else:
                    refused = answer.verdict is Verdict.REFUSED
                    trouble = answer.reason or answer.verdict
                    again_in_s = None if refused else AGAIN_IN_S
                    differences.not_undone(connection, each, trouble=trouble, again_in_s=again_in_s)


def _undone(
    db: Database, provider: Provider | None, book: Book | None, asked: Sequence[UndoAsked]
) -> list[tuple[UndoAsked, Answer]]:
    """What came of it; what our books want by now, though they did not, is left standing."""
    if provider is None or book is None:
        return [(each, Answer(each.key, Verdict.REFUSED, reason="no such provider")) for each in asked]
    with db.begin() as connection:
        entries = truth.look(connection, book, [each.key for each in asked], margin_s=0.0)
    wanted = {each.key: each for each in asked if entries[each.key].belief in _NOT_OURS}
    answers = provider.undo(book.resource, list(wanted), timeout_s=CALL_S) if wanted else []
    left = [
        (each, Answer(each.key, Verdict.REFUSED, reason=f"by our books: {entries[each.key].told}"))
        for each in asked
        if each.key not in wanted
    ]
    return left + [(wanted[answer.key], answer) for answer in answers]
