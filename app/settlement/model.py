"""What is compared, and what comes of comparing one key: plain data and a pure decision."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.providers import port


class DifferenceKind(StrEnum):
    """How a provider and we differ about one key."""

    OURS_NOT_THEIRS = "ours-not-theirs"  # by our books it stands, they do not have it
    THEIRS_NOT_OURS = "theirs-not-ours"  # they have it standing, by our books nothing stands
    DOUBLE_EFFECT = "double-effect"  # they have it standing beside the one that our books know
    AMOUNT_DIFFERS = "amount-differs"  # it stands on both sides, with other money


class Belief(StrEnum):
    """What our books say of a key."""

    STANDS = "stands"
    OTHER = "other"  # the order's effect stands under another key
    UNDONE = "undone"  # taken back, or of an order that has failed or was cancelled
    NEVER = "never asked for"
    PERHAPS = "perhaps"  # asked for and unanswered, parked, skipped: whatever they have is no surprise
    MOVING = "moving"  # its run is under way, or was a moment ago
    NO_ORDER = "no such order"


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a step stands in one version of a saga.

    :param name: the step's name, the second part of the keys it makes
    :param surely: False for a step of a later run that takes back in some cases only
    """

    saga: str
    version: int
    step: int
    name: str
    surely: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """
    One resource: which step of ours makes its effects.

    :param provider: kind of the providers that have the resource
    :param makers: the steps that make its effects
    :param takers: steps of an order's later runs that take them back
    :param by_partner: whether several providers may be asked for one order, and the key names who was
    :param amount: SQL over `o` (the order), `r` (the run) and `d` (the step's outcome) that gives the money; None
        without money
    :param made: SQL over the same that says whether the step, being done, has made an effect
    :param undoable: whether an operator may have an effect undone by key, when nobody waits for it
    """

    resource: port.Resource
    provider: port.Kind
    makers: tuple[Place, ...]
    takers: tuple[Place, ...] = ()
    by_partner: bool = False
    amount: str | None = None
    made: str = "true"
    undoable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    What our books say of one key.

    :param other: the key under which the order's effect stands, for OTHER
    """

    key: str
    belief: Belief
    tenant_id: str
    order_id: str | None = None
    other: str | None = None
    amount: Decimal | None = None
    currency: str | None = None

    @property
    def told(self) -> str:
        if self.belief is Belief.OTHER:
            return f"stands as {self.other}"
        return " ".join(
            _words(self.belief, self.amount if self.belief is Belief.STANDS else None, self.currency)
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What the provider says of one key; amount and currency are None where it did not say."""

    verdict: port.Verdict
    amount: Decimal | None = None
    currency: str | None = None

    @property
    def stands(self) -> bool:
        return self.verdict is port.Verdict.DONE

    @property
    def told(self) -> str:
        return " ".join(_words("stands" if self.stands else self.verdict, self.amount, self.currency))


@dataclass(frozen=True, slots=True)
class Difference:
    """:param amount: the money at stake, in `currency`; None where there is none, or nobody told"""

    kind: DifferenceKind
    entry: Entry
    seen: Seen
    amount: Decimal | None
    currency: str | None


def compare(entry: Entry, seen: Seen) -> Difference | None:
    """Whether we and they differ."""
    match entry.belief:
        case Belief.MOVING | Belief.PERHAPS:
            return None
        case Belief.STANDS if not seen.stands:
            return Difference(DifferenceKind.OURS_NOT_THEIRS, entry, seen, entry.amount, entry.currency)
        case Belief.STANDS:
            return _other_money(entry, seen)
        case _ if not seen.stands:
            return None
        case Belief.OTHER:
            return Difference(DifferenceKind.DOUBLE_EFFECT, entry, seen, seen.amount, seen.currency)
        case _:
            return Difference(DifferenceKind.THEIRS_NOT_OURS, entry, seen, seen.amount, seen.currency)


def _other_money(entry: Entry, seen: Seen) -> Difference | None:
    if entry.amount is None or seen.amount is None:
        return None
    if (entry.amount, entry.currency) == (seen.amount, seen.currency):
        return None
    same_currency = entry.currency == seen.currency
    at_stake = abs(entry.amount - seen.amount) if same_currency else entry.amount
    return Difference(DifferenceKind.AMOUNT_DIFFERS, entry, seen, at_stake, entry.currency)


def _words(state: str, amount: Decimal | None, currency: str | None) -> list[str]:
    return [state] if amount is None else [state, f"{amount:f}", currency or ""]
