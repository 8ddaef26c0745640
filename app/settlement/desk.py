"""The operators' desk for differences; every method opens its own short transaction."""

from sqlalchemy import Engine as Database

from app import database
from app.settlement import differences
from app.settlement.views import (
    ActedOn,
    DifferenceFilter,
    DifferenceGroup,
    DifferencePage,
    DifferenceStory,
    Remedy,
)


class DifferenceDesk:
    """What one tenant's operators see of differences, and do about them."""

    def __init__(self, db: Database, *, undoable: frozenset[str]) -> None:
        """:param undoable: resources of which an effect too many is undone on an operator's word"""
        self._db, self._undoable = db, undoable

    def page(self, tenant_id: str, wanted: DifferenceFilter, after: int | None, limit: int) -> DifferencePage:
        """Differences, newest first, those older than the id `after`."""
        found = database.read(
            self._db, lambda c: differences.page(c, tenant_id, wanted, after=after, limit=limit + 1)
        )
        more = int(found[limit - 1].id) if len(found) > limit else None
        return DifferencePage(found[:limit], more)

    def groups(self, tenant_id: str) -> list[DifferenceGroup]:
        """What is open, counted and with the money at stake."""
        return database.read(self._db, lambda c: differences.groups(c, tenant_id))

    def story(self, tenant_id: str, name: str) -> DifferenceStory:
        """:raises DifferenceNotFound:"""
        return database.read(
            self._db,
            lambda c: DifferenceStory(
                difference=differences.one(c, tenant_id, name), acts=differences.past_acts(c, name)
            ),
        )

    def act(self, tenant_id: str, name: str, act: Remedy, *, who: str, why: str) -> ActedOn:
        """
        Resolve it, or have it undone.

        :raises DifferenceNotFound, DifferenceResolved, NothingToUndo:
        """
        with self._db.begin() as connection:
            if act is Remedy.RESOLVE:
                return differences.resolve(connection, tenant_id, name, who=who, why=why)
            return differences.ask_to_undo(
                connection, tenant_id, name, undoable=self._undoable, who=who, why=why
            )
