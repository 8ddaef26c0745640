"""Checks as data, what each has found, and the report of an audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum

from app import errors


class Level(Enum):
    """What it means when a check finds something."""

    VIOLATION = "a promise is broken"
    OPEN = "work under way; a violation once everything should have settled"
    LATENCY = "slow, as is right while a store is down; a violation when none was"
    TOLD = "as an operator has wanted it, or as at least once allows it; never a violation"


class Needs(Enum):
    """A source without which a check says nothing."""

    JOURNAL = "a journal"
    EFFECTS = "the sandbox's ledger"
    CONSUMED = "a consumer's journal"


class Picture(Enum):
    """Which picture a check looks at; each is taken and looked at in a session of its own, side by side."""

    ORDERS = "orders with their runs, effects and holds"
    EVENTS = "the log, the stream and the deliveries"


class Standing(StrEnum):
    """How a check came out."""

    OK = "ok"
    FAIL = "FAIL"
    OPEN = "open"
    WARN = "warn"
    TOLD = "told"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """
    One check over one set of rows.

    :param name: stable and hyphenated
    :param says: what holds when nothing is found
    :param among: FROM clause (with WHERE) giving the rows in question
    :param wrong: condition on such a row
    :param subject: expression that names a row, an order's id wherever there is one
    :param may_miss: the share of rows that may be wrong without harm
    """

    name: str
    promise: str
    says: str
    among: str
    wrong: str
    subject: str = "order_id"
    picture: Picture = Picture.ORDERS
    level: Level = Level.VIOLATION
    needs: Needs | None = None
    may_miss: float = 0.0

    @property
    def sql(self) -> str:
        """Gives one row: how many there are, how many are wrong, and a few of the wrong ones by name."""
        wrong = f"FILTER (WHERE {self.wrong})"
        return (
            f"SELECT count(*) AS among, count(*) {wrong} AS wrong, "
            f"(array_agg(CAST({self.subject} AS text)) {wrong})[1:5] AS some FROM {self.among}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check has found; `some` names up to five of the wrong ones."""

    check: Check
    standing: Standing
    among: int = 0
    wrong: int = 0
    some: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        head = f"{self.check.promise} {self.standing:<4} {self.check.says}"
        if self.standing is Standing.SKIP and self.check.needs:
            return f"{head}: not checked without {self.check.needs.value}"
        counts = f"{head}: {self.among - self.wrong:,} of {self.among:,}"
        return f"{counts}; not so ({self.check.name}): {', '.join(self.some)}" if self.some else counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an audit has found."""

    checks: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether no promise is broken."""
        return all(finding.standing is not Standing.FAIL for finding in self.checks)

    @property
    def lines(self) -> list[str]:
        return [finding.line for finding in self.checks]

    @property
    def violations(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.checks if finding.standing is Standing.FAIL)

    @property
    def lost(self) -> int:
        """Orders in the journal that Postgres does not have."""
        return self.wrong("journal-order-kept")

    @property
    def duplicates(self) -> int:
        """Keys with more than one order, by the journal or by Postgres, whichever knows more of them."""
        return max(self.wrong("journal-key-names-one-order"), self.wrong("key-names-one-order"))

    def wrong(self, name: str) -> int:
        """How many rows the check of that name found wrong."""
        return next(finding.wrong for finding in self.checks if finding.check.name == name)

    def as_dict(self) -> Mapping[str, object]:
        """For JSON."""
        return {
            "clean": self.clean,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "checks": [
                {
                    "name": f.check.name,
                    "promise": f.check.promise,
                    "says": f.check.says,
                    "standing": f.standing.lower(),
                    "among": f.among,
                    "wrong": f.wrong,
                    "some": list(f.some),
                }
                for f in self.checks
            ],
        }


class SourceAway(errors.Unavailable):
    """A store that the audit reads does not answer."""

    code = "audit-source-away"

    def __str__(self) -> str:
        return "the audit cannot read {source}: {reason}".format_map(self.data)


class JournalUnreadable(errors.Rejected):
    """A journal cannot be read."""

    code = "journal-unreadable"

    def __str__(self) -> str:
        return "journal {path}: {reason}".format_map(self.data)
