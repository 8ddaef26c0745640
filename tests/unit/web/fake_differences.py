"""An operators' desk for differences that notes what it was asked and tells what it was told to."""

import msgspec

from app.settlement.views import (
    ActedOn,
    DifferenceFilter,
    DifferenceGroup,
    DifferencePage,
    DifferenceStory,
    DifferenceView,
    Remedy,
)
from web.description import difference_examples as examples


class Differences:
    def __init__(self) -> None:
        self.asked: list[object] = []
        self.fails: Exception | None = None
        self.next: int | None = None

    def page(self, tenant_id: str, wanted: DifferenceFilter, after: int | None, limit: int) -> DifferencePage:
        self._note(tenant_id, wanted, after, limit)
        return DifferencePage([msgspec.convert(examples.DIFFERENCE, DifferenceView)], self.next)

    def groups(self, tenant_id: str) -> list[DifferenceGroup]:
        self._note(tenant_id)
        return [msgspec.convert(examples.SUMMARY["groups"][0], DifferenceGroup)]

    def story(self, tenant_id: str, name: str) -> DifferenceStory:
        self._note(tenant_id, name)
        return msgspec.convert(examples.STORY, DifferenceStory)

    def act(self, tenant_id: str, name: str, act: Remedy, *, who: str, why: str) -> ActedOn:
        self._note(tenant_id, name, act, who, why)
        return msgspec.convert(examples.ACTED if act is Remedy.RESOLVE else examples.UNDOING, ActedOn)

    def _note(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.fails:
            raise self.fails
