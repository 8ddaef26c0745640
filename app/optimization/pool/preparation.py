"""How long a kitchen will take, from what it took before: a mean that leans on all kitchens' while it knows little."""

from collections import defaultdict
from dataclasses import dataclass, field

USUAL_MIN = 15.0
USUAL_WEIGHT = 5.0  # so many orders of all kitchens does the usual time stand for
LEANING = 3.0  # so many orders of its own does what others take stand for
USUAL_SPREAD_MIN = 8.0
OVERDUE_MIN = 3.0  # what is not ready in its time is ready so much later, again and again


@dataclass(frozen=True, slots=True)
class Foretold:
    """:param spread_min: how far off such foretellings were, in the mean"""

    ready: float
    spread_min: float


@dataclass(slots=True)
class _Seen:
    count: float = 0.0
    total: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value

    def mean(self, prior: float, weight: float) -> float:
        return (self.total + prior * weight) / (self.count + weight)


@dataclass(slots=True)
class History:
    """What kitchens took until now, in minutes."""

    _all: _Seen = field(default_factory=_Seen)
    _off: _Seen = field(default_factory=_Seen)
    _by_kitchen: dict[str, _Seen] = field(default_factory=lambda: defaultdict(_Seen))

    def add(self, kitchen: str, minutes: float) -> None:
        """One meal is ready."""
        self._off.add(abs(minutes - self._mean(kitchen)))
        self._all.add(minutes)
        self._by_kitchen[kitchen].add(minutes)

    def foretold(self, kitchen: str, *, placed: float, now: float) -> Foretold:
        """When a meal that is not ready by now will be."""
        ready = max(placed + self._mean(kitchen), now + OVERDUE_MIN)
        return Foretold(ready, self._off.mean(USUAL_SPREAD_MIN, USUAL_WEIGHT))

    def _mean(self, kitchen: str) -> float:
        usual = self._all.mean(USUAL_MIN, USUAL_WEIGHT)
        seen = self._by_kitchen.get(kitchen)
        return seen.mean(usual, LEANING) if seen else usual
