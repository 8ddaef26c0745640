"""A provider in memory that keeps the port's promises: effects by key, tombstones, a ledger of what really happened."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, auto

from app.providers.port import Answer, Kind, Listed, Listing, Request, Verdict


class Mood(Enum):
    """How a provider treats a call, besides doing what it is asked."""

    REFUSE = auto()
    UNAVAILABLE = auto()  # nothing happens, and it says so
    SILENT = auto()  # nothing happens, and nobody knows
    LOSE_ANSWER = auto()  # it happens, and nobody knows
    LATE = auto()  # it happens when it arrives, and nobody knows


@dataclass(frozen=True)
class Effect:
    """One line of the ledger."""

    provider: str
    resource: str
    key: str
    op: str  # do, undo, tombstone

    @property
    def order_id(self) -> str:
        return self.key.split(":")[0]


@dataclass
class Book:
    """What really happened, at all providers that share it, in its order."""

    effects: list[Effect] = field(default_factory=list)
    amounts: dict[str, str] = field(default_factory=dict)  # by key, of what was paid

    def standing(self, resource: str | None = None) -> list[str]:
        """The keys whose effect stands."""
        keys: dict[tuple[str, str], None] = {}
        for effect in self.effects:
            if resource in (None, effect.resource):
                if effect.op == "do":
                    keys[effect.provider, effect.key] = None
                else:
                    keys.pop((effect.provider, effect.key), None)
        return [key for _, key in keys]

    def most_dispatches(self) -> int:
        """The most dispatches that any order ever had standing at the same time."""
        return self.most("dispatches")

    def most(self, resource: str) -> int:
        """The most effects of that kind that any order ever had standing at the same time."""
        standing: dict[str, set[tuple[str, str]]] = {}
        most = 0
        for effect in self.effects:
            if effect.resource == resource:
                its, one = standing.setdefault(effect.order_id, set()), (effect.provider, effect.key)
                its.add(one) if effect.op == "do" else its.discard(one)
                most = max(most, len(its))
        return most


@dataclass
class _Rule:
    op: str
    mood: Mood
    orders: frozenset[str] | None
    resource: str | None
    times: int | None


class FakeProvider:
    """Answers by its book; told otherwise by `behave`, and overtaken in its calls by what happens `meanwhile`."""

    bulk = True
    tombstones = True

    def __init__(self, name: str, kind: Kind, book: Book) -> None:
        self.name, self.kind, self.book = name, kind, book
        self.calls: list[tuple[str, str]] = []
        self.needs: dict[str, object] = {}  # what it was told that a courier must have, by key
        self.listed: dict[tuple[str, str], Listed] = {}
        self.lists = True
        self._currencies: dict[str, str] = {}
        self._states: dict[tuple[str, str], str] = {}
        self._rules: list[_Rule] = []
        self._hooks: list[tuple[str, Callable[[], object]]] = []
        self._on_their_way: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self.tells: dict[str, str] = {}  # how far it has come with what it was asked for, by key
        self.chance: Callable[[str], Mood | None] = lambda _: None

    def behave(
        self,
        mood: Mood,
        *,
        op: str = "do",
        orders: Sequence[str] | None = None,
        resource: str | None = None,
        times: int | None = None,
    ) -> None:
        """Treat that op so, for these orders or all, that many times per rule or for ever."""
        self._rules.append(_Rule(op, mood, frozenset(orders) if orders else None, resource, times))

    def recover(self) -> None:
        """Behave again."""
        self._rules.clear()

    def meanwhile(self, moment: str, happens: Callable[[], object]) -> None:
        """Let something happen once, "before do", "after do", "before undo", "after undo"..., then go on."""
        self._hooks.append((moment, happens))

    def arrive(self) -> None:
        """Let what was on its way be asked now, and answered to nobody."""
        arrived, self._on_their_way = self._on_their_way, []
        for resource, key in arrived:
            with self._lock:
                self._bring_about(resource, key)

    def do(self, resource: str, requests: Sequence[Request], *, timeout_s: float) -> list[Answer]:
        self._happen("before do")
        late = {r.key for r in requests if r.not_after <= datetime.now(UTC)}
        for request in requests:
            self._currencies[request.key] = str(request.body.get("currency"))
            self.book.amounts[request.key] = str(request.body.get("amount"))
            self.needs[request.key] = request.body.get("needs")
        answers = [self._do(resource, request.key, late) for request in requests]
        self._happen("after do")
        return answers

    def undo(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        self._happen("before undo")
        answers = [self._undo(resource, key) for key in keys]
        self._happen("after undo")
        return answers

    def find(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        self._happen("before find")
        answers = [self._find(resource, key) for key in keys]
        self._happen("after find")
        return answers

    def listing(
        self,
        resource: str,
        *,
        since: datetime,
        until: datetime,
        cursor: str | None,
        limit: int,
        timeout_s: float,
    ) -> Listing:
        self._happen("before listing")
        if not self.lists:
            return Listing(Verdict.REFUSED)
        if self._mood("listing", resource, ":") is not None:
            return Listing(Verdict.UNAVAILABLE, reason="silent")
        self.calls.append(("listing", resource))
        items = [
            item
            for (its_resource, _), item in self.listed.items()
            if its_resource == resource and since <= item.at < until
        ]
        begin = int(cursor or 0)
        more = begin + limit < len(items)
        return Listing(
            Verdict.DONE, tuple(items[begin : begin + limit]), str(begin + limit) if more else None
        )

    def tamper(
        self,
        resource: str,
        key: str,
        *,
        standing: bool = True,
        amount: str | None = None,
        currency: str = "BHD",
    ) -> None:
        """Have an effect, or have it no more, without having been asked."""
        self._states[resource, key] = "done" if standing else "undone"
        self._list(resource, key, standing, Decimal(amount) if amount else None, currency if amount else None)

    def forget(self, resource: str, key: str) -> None:
        """Lose an effect without a trace."""
        del self._states[resource, key], self.listed[resource, key]

    def _list(
        self, resource: str, key: str, standing: bool, amount: Decimal | None, currency: str | None
    ) -> None:
        self.listed[resource, key] = Listed(
            key, standing, datetime.now(UTC), reference=key, amount=amount, currency=currency
        )

    def _do(self, resource: str, key: str, late: set[str]) -> Answer:
        with self._lock:
            mood = self._mood("do", resource, key)
            self.calls.append(("do", key))
            state = self._states.get((resource, key))
            if state == "done" and mood is None:
                return Answer(key, Verdict.DONE, reference=key)
            if mood is Mood.UNAVAILABLE:
                return Answer(key, Verdict.UNAVAILABLE)
            if mood is Mood.LATE and key not in late:
                self._on_their_way.append((resource, key))
            if mood in (Mood.SILENT, Mood.LATE):
                return Answer(key, Verdict.IN_DOUBT)
            if mood is not Mood.REFUSE and key not in late:
                self._bring_about(resource, key)
            if mood is Mood.LOSE_ANSWER:
                return Answer(key, Verdict.IN_DOUBT)
            if self._states.get((resource, key)) == "done":
                return Answer(key, Verdict.DONE, reference=key)
            return Answer(key, Verdict.REFUSED, reason="undone" if state == "undone" else "no")

    def _bring_about(self, resource: str, key: str) -> None:
        if self._states.get((resource, key)) is None:
            self._states[resource, key] = "done"
            self.book.effects.append(Effect(self.name, resource, key, "do"))
            amount = self.book.amounts[key]
            paid = amount != "None"
            self._list(
                resource,
                key,
                True,
                Decimal(amount) if paid else None,
                self._currencies[key] if paid else None,
            )

    def _undo(self, resource: str, key: str) -> Answer:
        with self._lock:
            mood = self._mood("undo", resource, key)
            self.calls.append(("undo", key))
            if mood is Mood.REFUSE:
                return Answer(key, Verdict.REFUSED)
            if mood is Mood.UNAVAILABLE:
                return Answer(key, Verdict.UNAVAILABLE)
            if mood is Mood.SILENT:
                return Answer(key, Verdict.IN_DOUBT)
            state = self._states.get((resource, key))
            if state is None and not self.tombstones:
                return Answer(key, Verdict.UNDONE)
            if state != "undone":
                op = "undo" if state == "done" else "tombstone"
                self.book.effects.append(Effect(self.name, resource, key, op))
                self._states[resource, key] = "undone"
                self._list(resource, key, False, None, None)
            return Answer(key, Verdict.IN_DOUBT if mood is Mood.LOSE_ANSWER else Verdict.UNDONE)

    def _find(self, resource: str, key: str) -> Answer:
        with self._lock:
            mood = self._mood("find", resource, key)
            self.calls.append(("find", key))
            if mood is Mood.UNAVAILABLE:
                return Answer(key, Verdict.UNAVAILABLE)
            if mood is not None:
                return Answer(key, Verdict.IN_DOUBT)
            state = self._states.get((resource, key))
            table = {None: Verdict.UNKNOWN, "done": Verdict.DONE, "undone": Verdict.UNDONE}
            return Answer(key, table[state], reference=key, state=self.tells.get(key))

    def _mood(self, op: str, resource: str, key: str) -> Mood | None:
        order_id = key.split(":", maxsplit=1)[0]
        for rule in self._rules:
            fits = rule.op == op and rule.resource in (None, resource) and rule.times != 0
            if fits and (rule.orders is None or order_id in rule.orders):
                if rule.times:
                    rule.times -= 1
                return rule.mood
        return self.chance(op)

    def _happen(self, moment: str) -> None:
        for hook in self._hooks:
            if hook[0] == moment:
                self._hooks.remove(hook)
                hook[1]()
                return
